package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
)

func codec(t testing.TB, key string) *Codec {
	t.Helper()
	c, err := NewCodec(key, "hmac-sha256", "s1", "gopher")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func request(t testing.TB, c *Codec, content any) [][]byte {
	t.Helper()
	m, err := c.New("execute_request", content, nil)
	if err != nil {
		t.Fatal(err)
	}
	m.Identities = [][]byte{[]byte("peer")}
	m.Buffers = [][]byte{{0, 1, 2}}
	f, err := c.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestRoundTrip(t *testing.T) {
	client, kernel := codec(t, "secret"), codec(t, "secret")
	m, err := kernel.Decode(request(t, client, ExecuteRequest{Code: "1 < 2 && é"}))
	if err != nil {
		t.Fatal(err)
	}
	var r ExecuteRequest
	if err := m.Unmarshal(&r); err != nil || r.Code != "1 < 2 && é" {
		t.Fatalf("code %q, %v", r.Code, err)
	}
	if string(m.Identities[0]) != "peer" || len(m.Buffers) != 1 || m.Header.Session != "s1" || m.Header.Version != "5.5" {
		t.Errorf("decoded %+v", m)
	}
	reply, err := kernel.New("execute_reply", ExecuteReply{Status: OK}, m)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(reply.Parent, m.RawHeader) {
		t.Error("the parent header is not the request's header verbatim")
	}
}

func TestRefused(t *testing.T) {
	client := codec(t, "secret")
	for name, c := range map[string]struct {
		change func([][]byte) [][]byte
		want   error
	}{
		"nothing":             {func(f [][]byte) [][]byte { return nil }, ErrMalformed},
		"no delimiter":        {func(f [][]byte) [][]byte { return f[2:] }, ErrMalformed},
		"delimiter alone":     {func(f [][]byte) [][]byte { return f[:2] }, ErrMalformed},
		"too few frames":      {func(f [][]byte) [][]byte { return f[:6] }, ErrMalformed},
		"empty signature":     {func(f [][]byte) [][]byte { f[2] = nil; return f }, ErrSignature},
		"short signature":     {func(f [][]byte) [][]byte { f[2] = f[2][:63]; return f }, ErrSignature},
		"not hex":             {func(f [][]byte) [][]byte { f[2] = bytes.Repeat([]byte{0xff}, 64); return f }, ErrSignature},
		"zero signature":      {func(f [][]byte) [][]byte { f[2] = bytes.Repeat([]byte("0"), 64); return f }, ErrSignature},
		"changed content":     {func(f [][]byte) [][]byte { f[6] = []byte(`{"code":"evil"}`); return f }, ErrSignature},
		"changed and swapped": {func(f [][]byte) [][]byte { f[4], f[6] = f[6], f[4]; return f }, ErrSignature},
	} {
		if _, err := codec(t, "secret").Decode(c.change(request(t, client, ExecuteRequest{}))); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error shows the key", name)
		}
	}
	other := codec(t, "another key")
	if _, err := other.Decode(request(t, client, ExecuteRequest{})); !errors.Is(err, ErrSignature) {
		t.Errorf("another key: %v", err)
	}
	if _, err := NewCodec("k", "hmac-md5", "", ""); err == nil || !strings.Contains(err.Error(), "hmac-md5") {
		t.Errorf("another scheme: %v", err)
	}
}

// Signatures are compared in time that does not depend on where they differ.
// That cannot be measured reliably, so the source is looked at.
func TestSignaturesAreComparedInConstantTime(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "wire.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	calls := map[string]int{}
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Name.Name != "Decode" {
			continue
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok {
					calls[x.Name+"."+s.Sel.Name]++
				}
			}
			return true
		})
	}
	if calls["hmac.Equal"] != 1 || calls["bytes.Equal"]+calls["bytes.Compare"]+calls["strings.EqualFold"] != 0 {
		t.Errorf("Decode compares with %v, want hmac.Equal alone", calls)
	}
}

// JSON that is nested without end or a huge header costs an error, not a stack.
func TestBounds(t *testing.T) {
	c := codec(t, "")
	frames := func(header, content string) [][]byte {
		return [][]byte{[]byte(delimiter), nil, []byte(header), empty, empty, []byte(content)}
	}
	const header = `{"msg_id":"1","msg_type":"x"}`
	if _, err := c.Decode(frames(header, "{}")); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string][][]byte{
		"nested content":  frames(header, `{"a":`+strings.Repeat("[", 1<<20)+strings.Repeat("]", 1<<20)+"}"),
		"nested header":   frames(`{"msg_id":"1","msg_type":"x","a":`+strings.Repeat("[", 20000)+strings.Repeat("]", 20000)+"}", "{}"),
		"huge header":     frames(`{"msg_id":"`+strings.Repeat("a", maxHeader)+`","msg_type":"x"}`, "{}"),
		"many identities": append(slices.Repeat([][]byte{[]byte("id")}, 1000), frames(header, "{}")...),
	} {
		if _, err := c.Decode(f); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReplayIsRefusedWithinItsWindow(t *testing.T) {
	c := codec(t, "secret")
	f := request(t, codec(t, "secret"), ExecuteRequest{})
	if _, err := c.Decode(f); err != nil {
		t.Fatal(err)
	}
	f[2] = bytes.ToUpper(f[2]) // the same signature in other letters
	if _, err := c.Decode(f); !errors.Is(err, ErrReplay) {
		t.Fatalf("replayed: %v", err)
	}
	var sum [32]byte
	for i := range replayWindow + 10 {
		sum[0], sum[1], sum[2] = byte(i), byte(i>>8), byte(i>>16)
		c.remember(sum)
	}
	if len(c.seen) != replayWindow || len(c.ring) != replayWindow {
		t.Errorf("%d signatures remembered, %d in the ring; want %d", len(c.seen), len(c.ring), replayWindow)
	}
}

func TestBadJSON(t *testing.T) {
	c := codec(t, "")
	good := `{"msg_id":"a","msg_type":"b"}`
	for _, parts := range [][4]string{
		{"{", "{}", "{}", "{}"}, {good, "nope", "{}", "{}"}, {good, "{}", "{}", "[1,2"}, {good, "{}", "{}", "\xff\xfe"},
		{"null", "null", "null", "null"}, {"[]", "[]", "[]", "[]"}, {"", "", "", ""}, {good, "{}", "{}", strings.Repeat("[", 20000)},
		{good, "{}", "{}", "null"}, {"{}", "{}", "{}", "{}"}, {`{"msg_id":3,"msg_type":"b"}`, "{}", "{}", "{}"},
		{`{"msg_id":"` + strings.Repeat("a", maxHeader) + `","msg_type":"b"}`, "{}", "{}", "{}"},
	} {
		f := [][]byte{[]byte(delimiter), nil, []byte(parts[0]), []byte(parts[1]), []byte(parts[2]), []byte(parts[3])}
		if _, err := c.Decode(f); !errors.Is(err, ErrMalformed) {
			t.Errorf("%.60q: %v", parts, err)
		}
	}
}

func TestEmptyObjectsAreNeverNull(t *testing.T) {
	for _, v := range []any{
		ExecuteReply{}, ExecuteReply{Status: Failed, Fault: &Fault{}}, CompleteReply{}, DisplayData{}, ExecuteResult{}, InspectReply{}, FaultReply{},
		MIMEBundleReply{}, KernelInfoReply{HelpLinks: []HelpLink{}},
	} {
		b, err := Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte("null")) {
			t.Errorf("%T: %s", v, b)
		}
	}
}

func TestUnmarshalNamesTheField(t *testing.T) {
	m := &Message{Header: Header{MsgType: "execute_request"}, Content: json.RawMessage(`{"code":3}`)}
	err := m.Unmarshal(&ExecuteRequest{})
	if err == nil || !strings.Contains(err.Error(), `"code"`) {
		t.Error(err)
	}
}

func FuzzDecode(f *testing.F) {
	c := codec(f, "")
	pack := func(frames [][]byte) []byte { return bytes.Join(frames, []byte{0}) }
	f.Add(pack(request(f, c, ExecuteRequest{Code: "1"})))
	f.Add([]byte("<IDS|MSG>\x00\x00{}\x00{}\x00{}\x00{}"))
	f.Add([]byte("a\x00b\x00<IDS|MSG>"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := c.Decode(bytes.Split(b, []byte{0}))
		if err != nil {
			return
		}
		for _, v := range []any{
			&ExecuteRequest{}, &CompleteRequest{}, &InspectRequest{}, &HistoryRequest{}, &CommOpen{}, &CommMsg{}, &InputReply{}, &DebugRequest{},
		} {
			m.Unmarshal(v)
		}
		out, err := c.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		again, err := c.Decode(out)
		if err != nil || again.Header != m.Header || !bytes.Equal(again.Content, m.Content) {
			t.Fatalf("encoded and decoded again: %v", err)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	client := codec(b, "secret")
	frames := request(b, client, ExecuteRequest{Code: "1+1"})
	c := codec(b, "secret")
	for b.Loop() {
		clear(c.seen)
		c.ring = c.ring[:0]
		if _, err := c.Decode(frames); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	c := codec(b, "secret")
	for b.Loop() {
		request(b, c, Stream{Name: "stdout", Text: "hello, world\n"})
	}
}
