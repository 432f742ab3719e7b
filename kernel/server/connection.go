package server

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// Connection is what a connection file says: where to listen and with which
// key. Its JSON form is Jupyter's.
type Connection struct {
	Transport       string `json:"transport"` // tcp or ipc
	IP              string `json:"ip"`        // an address, or for ipc the path that ports are appended to
	ShellPort       int    `json:"shell_port"`
	IOPubPort       int    `json:"iopub_port"`
	StdinPort       int    `json:"stdin_port"`
	ControlPort     int    `json:"control_port"`
	HBPort          int    `json:"hb_port"`
	Key             string `json:"key"`
	SignatureScheme string `json:"signature_scheme"`
	KernelName      string `json:"kernel_name,omitempty"`
}

// fromInput is the name of a connection file that comes over standard input,
// which then stays open for as long as the kernel is wanted.
const fromInput = "-"

// ReadConnection reads a connection file. A warning is not empty when others
// than who wrote it may be able to use the kernel.
func ReadConnection(path string) (c Connection, warning string, err error) {
	in := os.Stdin
	if path != fromInput {
		if in, err = os.Open(path); err != nil {
			return c, "", fmt.Errorf("server: cannot read the connection file: %w", err)
		}
		defer in.Close()
	}
	if err := json.NewDecoder(in).Decode(&c); err != nil {
		return c, "", fmt.Errorf("server: %s is not a connection file: %w", path, err)
	}
	if c.Transport == "" {
		c.Transport = "tcp"
	}
	if c.Transport != "tcp" && c.Transport != "ipc" {
		return c, "", fmt.Errorf("server: %s: transport %q is neither tcp nor ipc", path, c.Transport)
	}
	if c.IP == "" && c.Transport == "tcp" {
		c.IP = "127.0.0.1"
	}
	if c.IP == "" {
		return c, "", fmt.Errorf("server: %s: ipc needs a path in the field ip", path)
	}
	for name, port := range map[string]int{
		"shell_port": c.ShellPort, "iopub_port": c.IOPubPort, "stdin_port": c.StdinPort, "control_port": c.ControlPort, "hb_port": c.HBPort,
	} {
		if port < 0 || port > 65535 {
			return c, "", fmt.Errorf("server: %s: %s is %d, not a port", path, name, port)
		}
	}
	var warnings []string
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 && c.Key != "" {
		warnings = append(warnings, fmt.Sprintf("others can read the connection file (mode %04o), and whoever reads it can run code here", info.Mode().Perm()))
	}
	if c.Key == "" {
		warnings = append(warnings, "the connection file has no key: whoever reaches the ports can run code here")
	}
	if c.Transport == "tcp" && !loopback(c.IP) {
		warnings = append(warnings, "the kernel listens on "+c.IP+", not on this machine alone, and its messages are signed but not encrypted")
	}
	return c, strings.Join(warnings, "; "), nil
}

// loopback tells the addresses that no other machine reaches.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// endpoint is where the socket of a port is bound, as ZeroMQ writes it.
func (c Connection) endpoint(port int) string {
	if c.Transport == "ipc" {
		return fmt.Sprintf("ipc://%s-%d", c.IP, port)
	}
	return "tcp://" + net.JoinHostPort(c.IP, strconv.Itoa(port))
}
