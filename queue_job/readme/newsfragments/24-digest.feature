Job functions choose whom failures notify; many equal failures within an hour are one digest that
counts them.
