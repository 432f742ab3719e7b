package sweep

import (
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"strings"
	"text/template"
)

// Kubernetes describes a sweep as an indexed Job: one pod a task, which finds
// its index in JOB_COMPLETION_INDEX. The spec and the results are on a volume
// that all pods mount. It needs Kubernetes 1.29 or newer, for a limit of
// retries of each index.
//
// There is nothing here that talks to a cluster: print the manifest and pipe it
// into kubectl.
//
//	gonvex sweep kubernetes spec.jsonl results --image registry.example/gonvex:1 --claim sweeps | kubectl apply -f -
//	kubectl wait --for=condition=complete job/gonvex-sweep --timeout=-1s
type Kubernetes struct {
	Image     string // with gonvex in it
	Claim     string // the persistent volume claim with spec and results
	Mount     string // where pods see the volume; "": /sweep. Relative names of spec and results are below it
	Command   string // gonvex in the image; "": gonvex
	Job       string // name of the Job; "": gonvex-sweep
	Namespace string // "": that of the context of kubectl
	PerTask   int    // jobs that run one after the other in each pod; 0: one
	Parallel  int    // pods at a time; 0: 100
	Retries   int    // of a pod that fails or is evicted, for each index; 0: 3
	CPU       string // request of a pod; "": 1
	Memory    string // request and limit of a pod; "": 2Gi
	Deadline  int    // seconds after which the whole Job is ended; 0: none
}

// maxCompletions is the most that Kubernetes lets an indexed Job have when a
// limit is set for each index.
const maxCompletions = 100_000

var (
	dnsLabel = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	quantity = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$`)
)

// Manifest is the Job for a spec of the given number of jobs. The paths of
// spec and results are those in the pods.
func (k Kubernetes) Manifest(spec, out string, jobs int) (string, error) {
	fill := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	fill(&k.Mount, "/sweep")
	fill(&k.Command, "gonvex")
	fill(&k.Job, "gonvex-sweep")
	fill(&k.CPU, "1")
	fill(&k.Memory, "2Gi")
	for v, d := range map[*int]int{&k.PerTask: 1, &k.Parallel: 100, &k.Retries: 3} {
		if *v == 0 {
			*v = d
		}
	}
	switch {
	case k.Image == "":
		return "", fmt.Errorf("sweep: Kubernetes.Image is empty: want the name of an image with gonvex in it")
	case k.Claim == "":
		return "", fmt.Errorf("sweep: Kubernetes.Claim is empty: want the persistent volume claim that holds the spec and takes the results")
	case !dnsLabel.MatchString(k.Job) || !dnsLabel.MatchString(k.Claim) || k.Namespace != "" && !dnsLabel.MatchString(k.Namespace):
		return "", fmt.Errorf("sweep: Kubernetes names %q, %q and %q: want at most 63 small letters, digits and dashes each", k.Job, k.Claim, k.Namespace)
	case !path.IsAbs(k.Mount):
		return "", fmt.Errorf("sweep: Kubernetes.Mount is %q: want an absolute path", k.Mount)
	case !quantity.MatchString(k.CPU) || !quantity.MatchString(k.Memory):
		return "", fmt.Errorf("sweep: Kubernetes.CPU is %q and Memory %q: want quantities such as 500m and 2Gi", k.CPU, k.Memory)
	case jobs < 1 || k.PerTask < 0 || k.Parallel < 0 || k.Retries < 0 || k.Deadline < 0:
		return "", fmt.Errorf("sweep: %d jobs, PerTask %d, Parallel %d, Retries %d, Deadline %d: want positive numbers", jobs, k.PerTask, k.Parallel, k.Retries, k.Deadline)
	}
	tasks := (jobs + k.PerTask - 1) / k.PerTask
	if tasks > maxCompletions {
		return "", fmt.Errorf("sweep: %d tasks are more than the %d of an indexed Job: give each at least %d jobs with PerTask", tasks, maxCompletions, (jobs+maxCompletions-1)/maxCompletions)
	}
	inside := func(p string) string {
		if path.IsAbs(p) {
			return p
		}
		return path.Join(k.Mount, p)
	}
	var b strings.Builder
	err := manifest.Execute(&b, map[string]any{
		"K": k, "Tasks": tasks, "Parallel": min(k.Parallel, tasks),
		"Command": []string{k.Command, "sweep", "run", inside(spec), inside(out), "--per-task", fmt.Sprint(k.PerTask)},
	})
	return b.String(), err
}

// A JSON string is a YAML string.
var manifest = template.Must(template.New("job").Funcs(template.FuncMap{
	"quote": func(v any) (string, error) { b, err := json.Marshal(v); return string(b), err },
}).Parse(`apiVersion: batch/v1
kind: Job
metadata:
  name: {{quote .K.Job}}
{{- if .K.Namespace}}
  namespace: {{quote .K.Namespace}}
{{- end}}
  labels:
    app.kubernetes.io/name: gonvex-sweep
spec:
  completionMode: Indexed
  completions: {{.Tasks}}
  parallelism: {{.Parallel}}
  # An index that fails this often is given up; the others go on.
  backoffLimitPerIndex: {{.K.Retries}}
  maxFailedIndexes: {{.Tasks}}
{{- if .K.Deadline}}
  activeDeadlineSeconds: {{.K.Deadline}}
{{- end}}
  podFailurePolicy:
    rules:
    # A pod that was evicted or preempted is no failure of its index.
    - action: Ignore
      onPodConditions:
      - type: DisruptionTarget
        status: "True"
  template:
    metadata:
      labels:
        app.kubernetes.io/name: gonvex-sweep
    spec:
      restartPolicy: Never
      containers:
      - name: gonvex
        image: {{quote .K.Image}}
        command: {{quote .Command}}
        workingDir: {{quote .K.Mount}}
        resources:
          requests:
            cpu: {{quote .K.CPU}}
            memory: {{quote .K.Memory}}
          limits:
            memory: {{quote .K.Memory}}
        volumeMounts:
        - name: sweep
          mountPath: {{quote .K.Mount}}
      volumes:
      - name: sweep
        persistentVolumeClaim:
          claimName: {{quote .K.Claim}}
`))
