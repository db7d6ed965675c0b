# hears: the two rows swapped
reading = 'A'
enough = 16
