//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"racoon2/kernel/kerneltest/netlab"

	"golang.org/x/sys/unix"
)

// end is one side of the tunnel.
type end struct {
	name, outer, inner, net string
}

// configuration is a whole racoon2.conf; everything else has good defaults.
const configuration = `remote %[2]s {
	ikev2 {
		my_id fqdn "%[1]s.example";
		peers_id fqdn "%[2]s.example";
		peers_ipaddr %[4]s;
		pre_shared_key "%[7]s";
	};
};
selector to_%[2]s {
	direction outbound;
	src %[5]s;
	dst %[6]s;
	policy_index %[2]s;
};
selector from_%[2]s {
	direction inbound;
	src %[6]s;
	dst %[5]s;
	policy_index %[2]s;
};
policy %[2]s {
	action auto_ipsec;
	remote_index %[2]s;
	ipsec_mode tunnel;
	my_sa_ipaddr %[3]s;
	peers_sa_ipaddr %[4]s;
};
`

// host is one namespace with its agent.
type host struct {
	ns     *netlab.NS
	binary string
	dir    string
	inner  netip.Addr

	agent *netlab.Cmd
	ended chan error
	log   bytes.Buffer
}

func newSecret() (string, error) {
	b := make([]byte, 32)
	if _, err := rand.Read(b); err != nil {
		return "", err
	}
	return hex.EncodeToString(b), nil
}

// configure writes racoon2.conf and the key, readable by root alone.
func (h *host) configure(me, peer end, secret string) error {
	if err := os.Mkdir(h.dir, 0o700); err != nil {
		return err
	}
	psk := filepath.Join(h.dir, "peer.psk")
	text := fmt.Sprintf(configuration, me.name, peer.name, me.outer, peer.outer, me.net, peer.net, psk)
	if err := os.WriteFile(psk, []byte(secret), 0o600); err != nil {
		return err
	}
	return os.WriteFile(h.config(), []byte(text), 0o600)
}

func (h *host) config() string { return filepath.Join(h.dir, "racoon2.conf") }
func (h *host) runDir() string { return filepath.Join(h.dir, "run") }

// start runs the agent and waits until it answers.
func (h *host) start(ctx context.Context) error {
	h.agent = h.ns.Command(ctx, h.binary, "run", "-c", h.config(), "--run-dir", h.runDir())
	h.agent.Cmd.Stdout, h.agent.Cmd.Stderr = &h.log, &h.log
	h.agent.Cmd.Cancel = func() error { return h.agent.Process.Signal(unix.SIGTERM) }
	if err := h.agent.Start(); err != nil {
		return err
	}
	h.ended = make(chan error, 1)
	go func() { h.ended <- h.agent.Wait() }()
	for range 200 {
		select {
		case err := <-h.ended:
			h.agent = nil
			return fmt.Errorf("the agent on %s ended (%v):\n%s", h.ns.Name, err, h.log.Bytes())
		case <-time.After(50 * time.Millisecond):
		}
		if _, err := h.control("status"); err == nil {
			return nil
		}
	}
	return fmt.Errorf("the agent on %s does not answer", h.ns.Name)
}

// control runs a client command.
func (h *host) control(args ...string) ([]byte, error) {
	args = append(args, "--socket", filepath.Join(h.runDir(), "spmif"))
	out, err := h.ns.Command(context.Background(), h.binary, args...).CombinedOutput()
	if err != nil {
		return out, fmt.Errorf("racoon2 %s on %s: %w\n%s", args[0], h.ns.Name, err, out)
	}
	return out, nil
}

// print runs a client command and shows its output.
func (h *host) print(args ...string) error {
	out, err := h.control(args...)
	os.Stdout.Write(out)
	return err
}

// stop ends the agent in order.
func (h *host) stop() error {
	if err := h.agent.Process.Signal(unix.SIGTERM); err != nil {
		return err
	}
	select {
	case err := <-h.ended:
		h.agent = nil
		return err
	case <-time.After(10 * time.Second):
		return fmt.Errorf("the agent on %s does not end", h.ns.Name)
	}
}

// kill ends an agent that is still there after a failure.
func (h *host) kill() {
	if h.agent == nil {
		return
	}
	_ = h.agent.Process.Kill()
	<-h.ended
	h.agent = nil
}

func (h *host) printLog() {
	fmt.Printf("\n== log of %s\n%s", h.ns.Name, h.log.Bytes())
}
