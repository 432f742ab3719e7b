//go:build cgo && mpi

package comm

// #cgo pkg-config: ompi-c
// #include <mpi.h>
// static int gonvex_init(int *rank, int *size) {
// 	int provided, code = MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &provided);
// 	if (code != MPI_SUCCESS) return code;
// 	if (provided < MPI_THREAD_SERIALIZED) return MPI_ERR_UNSUPPORTED_OPERATION;
// 	MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
// 	MPI_Comm_rank(MPI_COMM_WORLD, rank);
// 	MPI_Comm_size(MPI_COMM_WORLD, size);
// 	return MPI_SUCCESS;
// }
// static int gonvex_sum(double *x, int n) {
// 	return MPI_Allreduce(MPI_IN_PLACE, x, n, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
// }
import "C"

import (
	"fmt"
	"sync"
)

var world struct {
	sync.Once
	rank, size C.int
	code       C.int
}

// MPI returns the group of the processes that mpirun or srun started with this
// one; alone it is a group of one. MPI_Allreduce adds, of which the standard
// asks that all ranks get identical results.
func MPI() (Comm, error) {
	world.Do(func() { world.code = C.gonvex_init(&world.rank, &world.size) })
	if world.code != C.MPI_SUCCESS {
		return nil, fmt.Errorf("comm: MPI did not start (code %d): is the OpenMPI here the one that gonvex was built with? See mpirun --version", world.code)
	}
	return mpi{}, nil
}

type mpi struct{}

func (mpi) Rank() int { return int(world.rank) }
func (mpi) Size() int { return int(world.size) }

// mostAtOnce is the largest message: MPI counts in 32 bits.
const mostAtOnce = 1 << 27

func (mpi) Sum(x []float64) error {
	for len(x) > 0 {
		n := min(len(x), mostAtOnce)
		if code := C.gonvex_sum((*C.double)(&x[0]), C.int(n)); code != C.MPI_SUCCESS {
			return fmt.Errorf("comm: MPI_Allreduce failed with code %d", code)
		}
		x = x[n:]
	}
	return nil
}

func (mpi) Close() error {
	if code := C.MPI_Finalize(); code != C.MPI_SUCCESS {
		return fmt.Errorf("comm: MPI_Finalize failed with code %d", code)
	}
	return nil
}
