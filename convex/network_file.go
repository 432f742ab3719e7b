package convex

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/google/renameio/v2/maybe"
	"gonum.org/v1/gonum/mat"

	"github.com/gonvex/gonvex/convex/internal/npy"
)

// runner is an architecture that can say how its networks are run: it sets the
// functions of a network that has the weights.
type runner interface {
	Arch
	run(net *Network)
}

func newNetwork(a runner, inputs, outputs int) *Network {
	net := &Network{Arch: a.Name(), Inputs: inputs, Outputs: outputs, arch: a}
	a.run(net)
	return net
}

// SetArch sets the functions of a network whose weights come from elsewhere to
// those of an architecture of this package, such as after training by gradient
// descent or reading weights from a file of another program.
func (net *Network) SetArch(a Arch) error {
	r, ok := a.(runner)
	if !ok {
		name := "nil"
		if a != nil {
			name = a.Name()
		}
		return fmt.Errorf("convex: SetArch: architecture %s does not say how its networks are run: set Activations or Forward, and Decay, yourself", name)
	}
	net.Arch, net.arch = a.Name(), a
	net.Activations, net.Forward, net.Decay, net.unitHidden = nil, nil, nil, false
	r.run(net)
	return nil
}

// networkFile is the description in a saved network, beside its arrays.
type networkFile struct {
	Format       int                        `json:"format"`
	Architecture string                     `json:"architecture"`
	Options      map[string]json.RawMessage `json:"options,omitempty"` // of the architecture, as in problem files
	Inputs       int                        `json:"inputs"`
	Outputs      int                        `json:"outputs"`
	Patches      int                        `json:"patches,omitempty"`
	Images       map[string]json.RawMessage `json:"images,omitempty"` // shape, filter, stride, padding
}

// networkDescription is the name of it in the archive.
const networkDescription = "network.json"

// maxNetworkFile is the largest network file, in bytes.
const maxNetworkFile = 4 << 30

// Save writes the network as a NumPy archive (.npz) that LoadNetwork reads back
// to the same network: float64 arrays "hidden" (m×d), "output" (m×c), "gates"
// (m×d), "bias" (c) and those of Extra as "extra_NAME", where there are any, and
// network.json, which says what they are. numpy.load reads it too. The write is
// atomic.
//
// A gated network is saved with its gate vectors, and after loading they decide
// which neurons are active.
func (net *Network) Save(path string) error {
	b, err := net.archive()
	if err == nil {
		_, err = parseNetwork(b) // what cannot be loaded is not saved
	}
	if err == nil {
		err = maybe.WriteFile(path, b, 0o644)
	}
	if err != nil {
		return fmt.Errorf("convex: Save: %s", strings.TrimPrefix(err.Error(), "convex: "))
	}
	return nil
}

func (net *Network) archive() ([]byte, error) {
	if net == nil {
		return nil, errors.New("there is no network: solve a problem first")
	}
	arch := net.arch
	if arch == nil {
		var err error
		if arch, err = LookupArch(net.Arch); err != nil {
			return nil, err
		}
	}
	if _, ok := arch.(runner); !ok {
		return nil, fmt.Errorf("architecture %s does not say how its networks are run, so the file could not be loaded", net.Arch)
	}
	raw := func(fields map[string]any) (map[string]json.RawMessage, error) {
		out := map[string]json.RawMessage{}
		for k, v := range fields {
			b, err := json.Marshal(v)
			if err != nil {
				return nil, err
			}
			out[k] = b
		}
		return out, nil
	}
	file := networkFile{Format: 1, Architecture: net.Arch, Inputs: net.Inputs, Outputs: net.Outputs, Patches: net.patches}
	var err error
	if o, ok := arch.(fileOptions); ok {
		if file.Options, err = raw(o.toFile()); err != nil {
			return nil, err
		}
	}
	if net.Patching.given() {
		if file.Images, err = raw(net.Patching.toFile()); err != nil {
			return nil, err
		}
	}
	description, err := json.MarshalIndent(file, "", " ")
	if err != nil {
		return nil, err
	}
	arrays := map[string]npy.Array{}
	put := func(name string, M *mat.Dense) {
		if M != nil && !M.IsEmpty() {
			arrays[name] = arrayOf(M)
		}
	}
	put("hidden", net.Hidden)
	put("output", net.Output)
	gates := net.Gates
	if gates == nil && net.findGates != nil && net.Neurons() > 0 {
		if gates, err = net.findGates(net.gate); err != nil {
			return nil, err
		}
	}
	put("gates", gates)
	if net.Bias != nil {
		arrays["bias"] = npy.Array{Shape: []int{len(net.Bias)}, Data: net.Bias}
	}
	if len(net.gate) > 0 {
		patterns := npy.Array{Shape: []int{len(net.gate)}}
		for _, g := range net.gate {
			patterns.Data = append(patterns.Data, float64(g))
		}
		arrays["pattern"] = patterns
	}
	for name, M := range net.Extra {
		put("extra_"+name, M)
	}
	for name, a := range arrays {
		if !finite(a.Data) {
			return nil, fmt.Errorf("%s of the network has a number that is not finite", name)
		}
	}
	return npy.FormatArchive(arrays, map[string][]byte{networkDescription: append(description, '\n')})
}

// LoadNetwork reads a network that Network.Save wrote. Its predictions and its
// objective are those of the network saved.
func LoadNetwork(path string) (*Network, error) {
	b, err := readRegular(path)
	if err != nil {
		return nil, fmt.Errorf("convex: LoadNetwork: %w", err)
	}
	net, err := parseNetwork(b)
	if err != nil {
		return nil, fmt.Errorf("convex: LoadNetwork: %s: %s", path, strings.TrimPrefix(err.Error(), "convex: "))
	}
	return net, nil
}

func parseNetwork(b []byte) (*Network, error) {
	z, err := npy.OpenArchive(b)
	if err != nil {
		return nil, err
	}
	text, err := z.Bytes(networkDescription, 1<<20)
	if err != nil {
		return nil, fmt.Errorf("no network: there is no %s in the archive; Network.Save writes one", networkDescription)
	}
	var file networkFile
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&file); err != nil {
		return nil, fmt.Errorf("%s: %w", networkDescription, err)
	}
	if file.Format != 1 {
		return nil, fmt.Errorf("%s: format %d: this version reads format 1", networkDescription, file.Format)
	}
	const most = 1 << 30
	if file.Inputs < 1 || file.Outputs < 1 || file.Patches < 0 || file.Inputs > most || file.Outputs > most || file.Patches > most {
		return nil, fmt.Errorf("%s: %d inputs, %d outputs and %d patches: want positive numbers", networkDescription, file.Inputs, file.Outputs, file.Patches)
	}
	for k := range file.Options {
		if !contains(archFields, k) {
			return nil, fmt.Errorf("%s: unknown option %q", networkDescription, k)
		}
	}
	arch, err := archFromFile(file.Architecture, file.Options)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", networkDescription, err)
	}
	net := &Network{Inputs: file.Inputs, Outputs: file.Outputs, patches: file.Patches}
	if len(file.Images) > 0 {
		if net.Patching, err = patchingFromFile(file.Images); err != nil {
			return nil, fmt.Errorf("%s: images: %w", networkDescription, err)
		}
	}
	for _, name := range z.Names {
		a, err := z.Array(name, maxNetworkFile)
		if err == nil && !finite(a.Data) {
			err = errors.New("a number is not finite")
		}
		if err != nil {
			return nil, fmt.Errorf("array %s: %w", name, err)
		}
		var M *mat.Dense
		if len(a.Shape) == 2 {
			M = mat.NewDense(a.Shape[0], a.Shape[1], a.Data)
		}
		want := 2
		switch extra, is := strings.CutPrefix(name, "extra_"); {
		case is:
			if net.Extra == nil {
				net.Extra = map[string]*mat.Dense{}
			}
			net.Extra[extra] = M
		case name == "hidden":
			net.Hidden = M
		case name == "output":
			net.Output = M
		case name == "gates":
			net.Gates = M
		case name == "bias":
			net.Bias, want = a.Data, 1
		case name == "pattern":
			want = 1
			for _, v := range a.Data {
				if v != math.Trunc(v) || v < 0 || v > most {
					return nil, fmt.Errorf("array pattern has %g: want indices", v)
				}
				net.gate = append(net.gate, int(v))
			}
		default:
			return nil, fmt.Errorf("unknown array %q", name)
		}
		if len(a.Shape) != want {
			return nil, fmt.Errorf("array %s is %s: want %d dimensions", name, shapeString(a.Shape), want)
		}
	}
	if err := net.SetArch(arch); err != nil {
		return nil, err
	}
	return net, net.try()
}

// try checks that the arrays of a loaded network fit together, by their shapes
// and by a prediction for zeros.
func (net *Network) try() (err error) {
	m := 0
	if net.Hidden != nil {
		m, _ = net.Hidden.Dims()
	}
	for name, rows := range map[string]*mat.Dense{"output": net.Output, "gates": net.Gates} {
		if rows == nil && (name == "gates" || m == 0) {
			continue
		}
		if rows == nil {
			return fmt.Errorf("array %s is missing", name)
		}
		if r, c := rows.Dims(); r != m {
			return fmt.Errorf("array %s is %d×%d, hidden has %d rows: want one a neuron", name, r, c, m)
		}
	}
	if len(net.gate) != 0 && len(net.gate) != m {
		return fmt.Errorf("array pattern has %d entries for %d neurons", len(net.gate), m)
	}
	if net.Patching.given() {
		rows, cols, err := net.Patching.Positions()
		if err != nil {
			return err
		}
		if rows*cols != net.patches {
			return fmt.Errorf("the images have %d×%d patches, the network %d", rows, cols, net.patches)
		}
	}
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("the arrays do not fit a network of architecture %s with %d inputs and %d outputs", net.Arch, net.Inputs, net.Outputs)
		}
	}()
	inputs := make([]mat.Matrix, max(net.patches, 1))
	for k := range inputs {
		inputs[k] = mat.NewDense(1, net.Inputs, nil)
	}
	f, err := net.forward(inputs)
	if err != nil {
		return err
	}
	if _, c := f.Dims(); c != net.Outputs {
		return fmt.Errorf("the network predicts %d numbers, its description says %d", c, net.Outputs)
	}
	if v := net.decay(); math.IsNaN(v) {
		return errors.New("the weights have no penalty")
	}
	return nil
}
