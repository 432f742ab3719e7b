package server

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// RunOverSSH runs the kernel of a connection file on another machine until it
// is shut down or this process is told to end. ssh forwards the five ports to
// Unix sockets there, so that all that is sent is encrypted and no port of that
// machine is taken; the connection file goes over its standard input, so
// that the machines need no folder in common. command is gonvex there and its
// arguments, which get "-f -". There the kernel ends with the connection: when
// its standard input does.
//
// destination is what ssh takes: a host, or options and a host.
func RunOverSSH(ctx context.Context, connectionFile string, destination, command []string, log *slog.Logger) error {
	conn, warning, err := ReadConnection(connectionFile)
	if err != nil {
		return err
	}
	if conn.Transport != "tcp" || len(destination) == 0 {
		return fmt.Errorf("server: a kernel over ssh needs transport tcp, not %s, and a host, not %q", conn.Transport, destination)
	}
	if warning != "" {
		log.Warn(warning)
	}
	args := []string{"-T", "-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes", "-o", "ServerAliveInterval=15"}
	there := conn
	there.Transport, there.IP = "ipc", "/tmp/gonvex-"+rand.Text()
	for _, port := range []int{conn.ShellPort, conn.IOPubPort, conn.StdinPort, conn.ControlPort, conn.HBPort} {
		args = append(args, "-L", net.JoinHostPort(conn.IP, strconv.Itoa(port))+":"+strings.TrimPrefix(there.endpoint(port), "ipc://"))
	}
	args = append(args, destination...)
	for _, word := range append(append([]string(nil), command...), "-f", "-") {
		args = append(args, "'"+strings.ReplaceAll(word, "'", `'\''`)+"'") // for the shell there
	}
	text, err := json.Marshal(there)
	if err != nil {
		return err
	}

	ends := make(chan os.Signal, 4)
	signal.Notify(ends, syscall.SIGTERM, syscall.SIGHUP)
	signal.Notify(make(chan os.Signal, 1), os.Interrupt) // interrupts come as messages
	defer signal.Stop(ends)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go watchParent(ctx, cancel)

	cmd := exec.Command("ssh", args...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // out of reach of a terminal's interrupt
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("server: %w: a kernel on another machine needs ssh (Debian: apt-get install openssh-client)", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	_, failed := in.Write(append(text, '\n'))
	select {
	case err = <-ended:
		var exit *exec.ExitError
		switch {
		case err == nil && failed == nil:
			return nil
		case errors.As(err, &exit) && exit.ExitCode() == 127:
			return fmt.Errorf("server: there is no %s on PATH of %s: install gonvex there, or name its path with --remote-gonvex", command[0], strings.Join(destination, " "))
		}
		return fmt.Errorf("server: ssh %s ended (%v): what it said is above; `ssh %[1]s %s version` must work without a password", strings.Join(destination, " "), errors.Join(err, failed), command[0])
	case <-ends:
	case <-ctx.Done():
	}
	in.Close() // the kernel there ends, and ssh with it
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		cmd.Process.Kill()
		<-ended
	}
	return nil
}
