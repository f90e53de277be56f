package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"racoon2/agent"
	"racoon2/config"
	"racoon2/policy/spmif"
)

// clientTime bounds a client command.
const clientTime = 30 * time.Second

// ask connects to the agent and has f speak with it.
func (a *app) ask(cmd *cobra.Command, f func(*spmif.Client) error) error {
	return a.talk(cmd, clientTime, f)
}

// talk is ask with another bound, 0 for none, on what follows the log-in.
func (a *app) talk(cmd *cobra.Command, limit time.Duration, f func(*spmif.Client) error) error {
	a.progress.now("reading the configuration")
	network, address, passwordFile, err := a.agentAt(cmd)
	if err != nil {
		return asFailure(err)
	}
	a.progress.now("waiting for the agent at " + address)
	defer a.progress.now("")
	password, err := agent.ReadSecret(passwordFile)
	if err != nil {
		return failed(explainPassword(address, passwordFile, err))
	}
	defer clear(password)
	ctx, cancel := context.WithTimeout(context.Background(), clientTime)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return failed(explainDial(address, err))
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(clientTime)); err != nil {
		return failed(err)
	}
	client := spmif.NewClient(conn)
	if err := client.Login(password); err != nil {
		return failed(err)
	}
	if limit != clientTime {
		a.progress.now("") // it lasts as long as it is wanted
		until := time.Time{}
		if limit > 0 {
			until = time.Now().Add(limit)
		}
		if err := conn.SetDeadline(until); err != nil {
			return failed(err)
		}
	}
	if err := f(client); err != nil {
		return failed(err)
	}
	if limit == clientTime {
		_ = client.Quit() // the answer is in hand
	}
	return nil
}

// agentAt finds the agent's control socket and its password file: --socket, or
// what the configuration says. The password of a socket that is given is beside
// it, unless a configuration is given, too.
func (a *app) agentAt(cmd *cobra.Command) (network, address, password string, err error) {
	if a.socket != "" && !cmd.Flags().Changed("config") {
		return "unix", a.socket, agent.PasswordBeside(a.socket), nil
	}
	cfg, findings := config.Load(a.config, config.Options{})
	if findings.HasErrors() || cfg == nil {
		return "", "", "", &agent.ConfigError{Path: a.config, Findings: findings}
	}
	at := agent.Control(cfg, a.runDir)
	switch {
	case a.socket != "":
		return "unix", a.socket, at.Password, nil
	case len(at.Unix) > 0:
		return "unix", at.Unix[0], at.Password, nil
	default:
		return "tcp", at.TCP[0].String(), at.Password, nil
	}
}

// explainPassword says why the password file cannot be read. Without a running
// agent there is often none.
func explainPassword(address, file string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("no agent answers at %s: is it running? (there is no password file %s)", address, file)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("password file %s: permission denied: only the agent's user can speak with it", file)
	}
	return fmt.Errorf("password file %s: %w", file, err)
}

// explainDial says why the agent cannot be reached.
func explainDial(address string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no agent answers at %s: is it running?", address)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s: permission denied: only the agent's user can speak with it", filepath.Clean(address))
	}
	return fmt.Errorf("control socket: %w", err)
}

// rawStatus asks for the agent's whole state.
func (a *app) rawStatus(cmd *cobra.Command) (raw json.RawMessage, err error) {
	err = a.ask(cmd, func(c *spmif.Client) (err error) {
		raw, err = c.Status()
		return err
	})
	return raw, err
}

// status asks for the agent's whole state and reads it.
func (a *app) status(cmd *cobra.Command) (*agent.Status, error) {
	raw, err := a.rawStatus(cmd)
	if err != nil {
		return nil, err
	}
	s := new(agent.Status)
	return s, failed(json.Unmarshal(raw, s))
}
