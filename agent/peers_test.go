package agent

import (
	"fmt"
	"net/netip"
	"testing"

	"racoon2/ikev2"
	"racoon2/policy/spmif"
	"racoon2/resolver"
)

// tunnels writes a configuration with a tunnel to the peer at some address.
func (h *host) tunnels(peer *host, at, my, his, more string) {
	h.t.Helper()
	h.protects(peer, "tunnel", at, my, his, more)
}

// A peer has a name. Until that has an address the tunnel's traffic is discarded;
// then it is the end of the tunnel, and the engine goes there.
func TestPeerByName(t *testing.T) {
	a, b := newPair(t)
	up := newNameServer(t)
	a.tunnels(b, "peer.example.com", "10.1.0.0/16", "10.2.0.0/16", fmt.Sprintf("resolver { nameserver %v port %d; };", up.at.Addr(), up.at.Port()))
	b.tunnels(a, a.addr.String(), "10.2.0.0/16", "10.1.0.0/16", "")
	a.start()
	b.start()
	if got := a.states("out"); got["10.2.0.0"] != "discard" {
		t.Errorf("before the name is known: %v", got)
	}
	up.set(b.addr.String())
	a.agent.names.proxy.Input(resolver.Flush{})
	waitUntil(t, "the tunnel to have its end", func() bool { return a.states("out")["10.2.0.0"] == "protect" })
	// The requests of both ends meet on one shard, which goes by the address.
	if n := len(a.agent.shards); a.agent.home("peer") != ikev2.ShardOfAddress(b.addr, n) {
		t.Errorf("the peer is at shard %d of %d, and its address at %d", a.agent.home("peer"), n, ikev2.ShardOfAddress(b.addr, n))
	}
	if err := a.client().SAInitiate("out"); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the child", func() bool {
		s := a.status()
		return len(s.IKESAs) == 1 && len(s.IKESAs[0].Children) == 1
	})
	if err := a.agent.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := a.status(); len(s.IKESAs) != 1 || len(s.IKESAs[0].Children) != 1 {
		t.Errorf("after a reload: %+v", s.IKESAs)
	}

	// The name is taken away: what stands, stands.
	up.set()
	a.agent.names.proxy.Input(resolver.Flush{})
	waitUntil(t, "the name to be gone", func() bool { return len(a.agent.names.addresses("peer.example.com")) == 0 })
	if got := a.states("out"); got["10.2.0.0"] != "protect" {
		t.Errorf("the name has no address: %v", got)
	}
}

// MIGRATE moves policies and the SAs that serve them.
func TestMigrateMovesSAs(t *testing.T) {
	a, b := newPair(t)
	a.tunnels(b, b.addr.String(), "10.1.0.0/16", "10.2.0.0/16", "")
	b.tunnels(a, a.addr.String(), "10.2.0.0/16", "10.1.0.0/16", "")
	a.start()
	b.start()
	if err := a.client().SAInitiate("out"); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the child", func() bool { s := a.status(); return len(s.IKESAs) == 1 && len(s.IKESAs[0].Children) == 1 })
	move := spmif.MigrateRequest{Selector: "out", OldSrc: a.addr, OldDst: b.addr, Src: a.addr, Dst: netip.MustParseAddr("127.0.0.77")}
	if err := a.client().Migrate(move); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the SAs to be elsewhere", func() bool {
		c := a.status().IKESAs[0].Children[0]
		return c.Local == "127.0.0.1" && c.Remote == "127.0.0.77" && c.Out != nil && c.In != nil // the kernel has them
	})
	if _, _, err := a.client().SAFlush(""); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "no SA to be left", func() bool { sas, _ := a.left(); return sas == 0 })
}
