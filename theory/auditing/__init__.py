"""Auditing a recorded run: did a theorem's assumptions hold on it?"""
