package server

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strconv"
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

// ReadConnection reads a connection file. A warning is not empty when others
// can read the file, and with it the key.
func ReadConnection(path string) (c Connection, warning string, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return c, "", fmt.Errorf("server: cannot read the connection file: %w", err)
	}
	if err := json.Unmarshal(b, &c); err != nil {
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
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 && c.Key != "" {
		warning = fmt.Sprintf("others can read the connection file (mode %04o), and whoever reads it can run code here", info.Mode().Perm())
	}
	return c, warning, nil
}

// endpoint is where the socket of a port is bound, as ZeroMQ writes it.
func (c Connection) endpoint(port int) string {
	if c.Transport == "ipc" {
		return fmt.Sprintf("ipc://%s-%d", c.IP, port)
	}
	return "tcp://" + net.JoinHostPort(c.IP, strconv.Itoa(port))
}
