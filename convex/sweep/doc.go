// Package sweep runs many fits: a regularisation path × architectures × seeds ×
// data sets, on this machine, as a Slurm job array, or as a Kubernetes indexed
// Job.
//
// A sweep is a spec file, one [Job] a line, and a folder with one [Result] a
// job. A task reads its line, fits, and puts its result in place by renaming a
// temporary file: a result is whole or it is not there. A job that has its
// result is never run again, so that everything here can be killed and
// repeated, and goes on where it was. Schedulers do the rest: there is no
// queue, and no server, of our own.
//
//	jobs := sweep.Grid(
//		sweep.Job{Data: "breast_cancer", Test: 0.3, Standardize: true, Bias: true, Loss: convex.Logistic},
//		[]convex.Arch{convex.ReLU{}, convex.GatedReLU{}}, []float64{0.1, 1, 10}, []uint64{1, 2, 3})
//	table, err := sweep.Run(ctx, jobs, "mysweep", sweep.Slurm{Options: []string{"--time=10"}})
//	table
//
// What a user defined in a notebook travels as text: [SourceOf] collects the
// cells that declare a function and what it needs, Job.Cells carries them, and
// the task, which is the same binary, runs them in a kernel session before the
// fit.
package sweep
