// Package kerneltest helps to test a Jupyter kernel: a client that speaks to a
// server in the same process, or to any kernel over its sockets, and a check of
// every message it receives against the protocol. It is public: the kernel's
// own tests use nothing else.
package kerneltest

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/gonvex/gonvex/kernel/wire"
)

//go:embed schemas.json
var schemas []byte

// compiled maps a message type, and "header", to its schema.
var compiled = sync.OnceValues(func() (map[string]*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemas))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("messages", doc); err != nil {
		return nil, err
	}
	out := map[string]*jsonschema.Schema{}
	for name := range doc.(map[string]any)["$defs"].(map[string]any) {
		if out[name], err = c.Compile("messages#/$defs/" + name); err != nil {
			return nil, err
		}
	}
	return out, nil
})

// Check reports how a message from a kernel departs from the protocol: in its
// header, its parent header or its content. An unknown type is an error, but
// for the reply to a request that is unknown.
func Check(m *wire.Message) error {
	all, err := compiled()
	if err != nil {
		return fmt.Errorf("kerneltest: %w", err)
	}
	schema := all[m.Header.MsgType]
	if schema == nil && strings.HasSuffix(m.Header.MsgType, "_reply") {
		schema = all["unknown_reply"]
	}
	if schema == nil {
		return fmt.Errorf("kerneltest: a kernel does not send %q", m.Header.MsgType)
	}
	for _, part := range []struct {
		name   string
		raw    json.RawMessage
		schema *jsonschema.Schema
	}{{"header", m.RawHeader, all["header"]}, {"content", m.Content, schema}} {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(part.raw))
		if err != nil {
			return fmt.Errorf("kerneltest: %s of %s: %w", part.name, m.Header.MsgType, err)
		}
		if err := part.schema.Validate(v); err != nil {
			return fmt.Errorf("kerneltest: %s of %s: %w\n%s", part.name, m.Header.MsgType, err, part.raw)
		}
	}
	var parent map[string]any
	if err := json.Unmarshal(m.Parent, &parent); err != nil {
		return fmt.Errorf("kerneltest: parent header of %s: %w", m.Header.MsgType, err)
	}
	if _, ok := parent["msg_id"]; len(parent) > 0 && !ok {
		return fmt.Errorf("kerneltest: parent header of %s is not a header: %s", m.Header.MsgType, m.Parent)
	}
	return nil
}
