package agent

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReload(t *testing.T) {
	a, b := newPair(t)
	a.start()
	b.start()
	a.send(b)
	spi := a.status().IKESAs[0].SPIi

	// What is wrong changes nothing and says why.
	before, err := os.ReadFile(filepath.Join(a.dir, "racoon2.conf"))
	if err != nil {
		t.Fatal(err)
	}
	a.write("racoon2.conf", "remote peer { nonsense; };\n")
	var bad *ConfigError
	if err := a.agent.Reload(t.Context()); !errors.As(err, &bad) {
		t.Fatalf("nonsense is taken over: %v", err)
	}
	if got := a.status(); got.IKESAs[0].SPIi != spi || got.Counters["agent."+reasonReloadFailed] != 1 {
		t.Errorf("after nonsense: %+v", got)
	}

	// A further selector leaves the IKE SA alone.
	a.write("racoon2.conf", string(before)+
		"selector drop { direction outbound; src 127.0.0.1; dst 127.0.0.9; policy_index no; };\npolicy no { action discard; };\n")
	if err := a.agent.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the new policy", func() bool { _, n := a.left(); return n == 3 })
	if got := a.status(); len(got.IKESAs) != 1 || got.IKESAs[0].SPIi != spi {
		t.Errorf("the IKE SA was touched: %+v", got.IKESAs)
	}

	// A changed remote is negotiated anew; a new socket is opened, the old one closed.
	a.port = freePort(t, a.addr)
	a.configure(b, "")
	if err := a.agent.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the old IKE SA to be deleted, over the old socket", func() bool {
		return len(a.status().IKESAs) == 0 && len(b.status().IKESAs) == 0
	})
	a.agent.closeLeaving()
	if got := a.status(); len(got.Sockets) != 1 || got.Sockets[0].Address.Port() != a.port {
		t.Errorf("sockets: %+v", got.Sockets)
	}
	waitUntil(t, "the old policy to go", func() bool { _, n := a.left(); return n == 2 })
}

func TestReloadRefusesABusyPort(t *testing.T) {
	a, b := newPair(t)
	a.start()
	old := a.port
	busy, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a.addr, 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	a.port = busy.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	a.configure(b, "")
	if err := a.agent.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "is in use") {
		t.Errorf("reload: %v", err)
	}
	if got := a.status().Sockets; len(got) != 1 || got[0].Address.Port() != old {
		t.Errorf("sockets after a refused reload: %+v", got)
	}
}
