//go:build !(cgo && mpi)

package comm

import "errors"

// MPI is the group of an MPI job. This build has no MPI in it.
func MPI() (Comm, error) {
	return nil, errors.New("this gonvex was built without MPI. With OpenMPI installed (Debian: apt-get install libopenmpi-dev openmpi-bin) rebuild it with: CGO_ENABLED=1 go build -tags mpi ./kernel/gonvex")
}
