"""What a vector holds, in numbers, words and pictures."""
