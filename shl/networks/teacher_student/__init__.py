"""A student network that learns from a teacher: which penalties find the teacher's form?"""
