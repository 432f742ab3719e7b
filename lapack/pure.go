//go:build !cgo || purego || !(linux || darwin)

package lapack

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
)

// netlibBackend says why netlib is not in this build.
func netlibBackend() (backend, error) {
	if runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
		return backend{}, fmt.Errorf("on %s only the Go code is built", runtime.GOOS)
	}
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, s := range build.Settings {
			if s.Key == "-tags" && slices.Contains(strings.Split(s.Value, ","), "purego") {
				return backend{}, errors.New("built with -tags purego")
			}
		}
	}
	return backend{}, errors.New("built with CGO_ENABLED=0 or without a C compiler")
}
