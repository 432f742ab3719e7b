// Go wants a file of assembly where functions without a body are declared, as
// those of marks.go are, which are package runtime's.
