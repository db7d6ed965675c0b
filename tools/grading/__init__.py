"""What `make grade` is made of; tools/grade.py is the command."""
