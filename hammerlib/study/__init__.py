"""The study: does the order matter, does DRA matter, and how sure are we?"""
