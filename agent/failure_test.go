package agent

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"racoon2/kernel"
	"racoon2/kernel/fake"
)

func TestStartFailures(t *testing.T) {
	busy, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	busyPort := busy.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	for _, test := range []struct {
		name   string
		spoil  func(a, b *host)
		config bool // the configuration is to blame
		want   string
	}{
		{"missing file", func(a, _ *host) { os.Remove(filepath.Join(a.dir, "racoon2.conf")) }, true, "no such file"},
		{"bad directive", func(a, b *host) { a.configure(b, "selecter x { };") }, true, "racoon2.conf:16:1"},
		{"open key file", func(a, _ *host) { os.Chmod(filepath.Join(a.dir, "psk"), 0o644) }, true, "its mode is 0644"},
		{"busy port", func(a, b *host) { a.port = busyPort; a.configure(b, "") }, false, "is in use by another program"},
		{"refused policy", func(a, _ *host) {
			a.kernel.With(func(k *fake.Kernel, _ time.Time) []kernel.Event {
				k.Fail(kernel.AddPolicy{}, syscall.EINVAL)
				k.Fail(kernel.UpdatePolicy{}, syscall.EINVAL)
				return nil
			})
		}, false, "invalid argument"},
		{"open folder", func(a, _ *host) { os.Mkdir(filepath.Join(a.dir, "run"), 0o755) }, false, "is open to others"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, b := newPair(t)
			a.t = t
			test.spoil(a, b)
			agent, err := Start(a.options())
			if err == nil {
				agent.Shutdown(t.Context())
				t.Fatal("started")
			}
			var c *ConfigError
			if got := errors.As(err, &c); got != test.config {
				t.Errorf("configuration to blame: %v, want %v", got, test.config)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %q, want %q", err, test.want)
			}
			if sas, policies := a.left(); sas != 0 || policies != 0 {
				t.Errorf("%d SAs and %d policies stay", sas, policies)
			}
			for _, name := range []string{socketName, passwordName} {
				if _, err := os.Stat(filepath.Join(a.dir, "run", name)); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s stays", name)
				}
			}
		})
	}
}

func TestSecondAgentIsRefused(t *testing.T) {
	a, _ := newPair(t)
	a.start()
	if _, err := Start(a.options()); err == nil || !strings.Contains(err.Error(), "does another racoon2 run?") {
		t.Errorf("second agent: %v", err)
	}
	if len(a.status().Policies) == 0 {
		t.Error("the first one was disturbed")
	}
}

// TestPanicFailsClosed breaks a core: the agent says so, and abandoning it
// leaves the policies.
func TestPanicFailsClosed(t *testing.T) {
	a, b := newPair(t)
	a.start()
	b.start()
	a.send(b)
	agent := a.agent
	a.agent = nil
	err := agent.shards[0].do(t.Context(), func() { agent.shards[0].guard(func() { panic("broken") }) })
	if err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-agent.Failed():
		if !strings.Contains(err.Error(), "failed inside") {
			t.Errorf("failure: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nobody heard of the panic")
	}
	agent.Abandon()
	if _, policies := a.left(); policies == 0 {
		t.Error("the policies are gone: traffic would leave in clear")
	}
	a.kernel.Close()
}
