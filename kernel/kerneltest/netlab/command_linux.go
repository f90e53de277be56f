package netlab

import (
	"bytes"
	"context"
	"os/exec"
)

// Cmd is a command that starts inside a namespace. It must not ask for a
// parent death signal, because the thread that starts it ends at once.
type Cmd struct {
	*exec.Cmd
	ns *NS
}

// Command makes a command of the namespace; the context's end kills it.
func (ns *NS) Command(ctx context.Context, name string, args ...string) *Cmd {
	return &Cmd{Cmd: exec.CommandContext(ctx, name, args...), ns: ns}
}

// Start starts the command inside the namespace.
func (c *Cmd) Start() error { return c.ns.Do(c.Cmd.Start) }

// Run starts the command and waits for its end.
func (c *Cmd) Run() error {
	if err := c.Start(); err != nil {
		return err
	}
	return c.Wait()
}

// CombinedOutput runs the command and returns what it wrote.
func (c *Cmd) CombinedOutput() ([]byte, error) {
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	return out.Bytes(), err
}
