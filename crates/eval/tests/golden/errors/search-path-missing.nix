<no-such-entry/x>
