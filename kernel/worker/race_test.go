//go:build race

package worker

func init() { raceEnabled = true }
