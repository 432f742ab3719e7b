package server

import (
	"context"
	"runtime"
	"strings"

	"github.com/gonvex/gonvex/kernel/wire"
)

// kernel_info is answered at once: clients ask before the interpreter is warm,
// and while a cell runs.
func init() {
	handle("kernel_info_request", handler{reply: "kernel_info_reply", order: atOnce, do: kernelInfo})
	handle("connect_request", handler{reply: "connect_reply", order: atOnce, do: connect})
}

func kernelInfo(_ context.Context, s *Server, _ *request) (any, error) {
	version := s.opts.Version
	if version == "" {
		version = "0"
	}
	banner := s.opts.Banner
	if banner == "" {
		banner = "Gonvex: Go notebooks, and convex training of neural networks"
	}
	return wire.KernelInfoReply{
		Status: wire.OK, ProtocolVersion: wire.ProtocolVersion,
		Implementation: "gonvex", ImplementationVersion: version,
		LanguageInfo: wire.LanguageInfo{
			Name: "go", Version: strings.TrimPrefix(runtime.Version(), "go"), MIMEType: "text/x-go", FileExtension: ".go",
			PygmentsLexer: "go", CodemirrorMode: "go", NbconvertExporter: "script",
		},
		Banner: banner,
		HelpLinks: []wire.HelpLink{
			{Text: "Go packages", URL: "https://pkg.go.dev/std"},
			{Text: "Gonum", URL: "https://pkg.go.dev/gonum.org/v1/gonum"},
		},
	}, nil
}

func connect(_ context.Context, s *Server, _ *request) (any, error) {
	c := s.conn
	return wire.ConnectReply{Status: wire.OK, Shell: c.ShellPort, IOPub: c.IOPubPort, Stdin: c.StdinPort, Control: c.ControlPort, HB: c.HBPort}, nil
}
