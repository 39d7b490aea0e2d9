"""What a run meets outside of itself: files, the network, the terminal, the clock."""
