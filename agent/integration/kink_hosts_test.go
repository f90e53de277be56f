//go:build linux

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// runIn has an agent run on a host with files of its own.
func (r *racoon2) runIn(host *room) {
	r.t.Helper()
	path, err := program()
	must(r.t, err)
	r.write("agent", fmt.Sprintf("#!/bin/sh\nexec nsenter --target %s --mount --uts -- %s \"$@\"\n", host.pid, path))
	r.binary = filepath.Join(r.dir, "agent")
	must(r.t, os.Chmod(r.binary, 0o700))
}

// Nothing names a principal, and there is no resolver: /etc/hosts has the full name
// of this host and that of the address that is pinged.
func TestKINKHostsFile(t *testing.T) {
	for _, family := range []string{"v4", "v6"} {
		t.Run(family, func(t *testing.T) {
			p := newKINK(t, family, "transport")
			p.left.Mine, p.left.Peers = "", ""
			host := newRoom(t, p.topology.left.ns, "left", "")
			host.file("etc/hosts", fmt.Sprintf("127.0.0.1 localhost\n%v left.example.test left\n%v right.example.test right\n", p.src, p.dst))
			p.a.runIn(host)
			w := p.up(t)
			s := p.a.status().KINK
			if len(s.Principals) != 1 || s.Principals[0].Principal != leftPrincipal+"@"+realmName {
				t.Errorf("principals: %+v", s.Principals)
			}
			if len(s.Peers) != 1 || s.Peers[0].Principal != rightPrincipal+"@"+realmName {
				t.Errorf("peers: %+v", s.Peers)
			}
			w.wantNoClear()
		})
	}
	t.Run("another name", func(t *testing.T) {
		p := newKINK(t, "v4", "transport")
		p.left.Peers = ""
		host := newRoom(t, p.topology.left.ns, "left", "")
		host.file("etc/hosts", fmt.Sprintf("127.0.0.1 localhost\n%v other.example.test\n", p.dst))
		p.a.runIn(host)
		w := p.watch(t)
		p.start()
		noPing(t, p.topology.left, p.src, p.dst, 3)
		waitFor(t, 20*time.Second, "the KDC to know no such name", func() bool {
			return strings.Contains(p.a.log(), "kink/other.example.test@"+realmName)
		})
		w.wantNoClear()
	})
}

// Scripts and metrics see KINK's pairs as those of IKE.
func TestKINKScriptsAndMetrics(t *testing.T) {
	p := newKINK(t, "v4", "transport")
	script, events := filepath.Join(p.a.dir, "updown"), filepath.Join(p.a.dir, "events")
	must(t, os.WriteFile(script, []byte("#!/bin/sh\necho \"$1 $SELECTOR_INDEX $LOCAL_ADDR $REMOTE_ADDR $IPSEC_MODE\" >>"+events+"\n"), 0o700))
	p.left.KINK = fmt.Sprintf("script { child_up %[1]q; child_down %[1]q; child_rekey %[1]q; };", script)
	p.left.More = fmt.Sprintf("interface { metrics 127.0.0.1 port 99; spmd unix %q; };\n", p.a.dir+"/run/spmif")
	p.up(t)
	p.a.wantMetrics(99, `racoon2_child_sas{engine="kink"} 1`)
	p.a.wantMetrics(99, `racoon2_remote_up{remote="peer"} 1`)
	p.a.wantMetrics(99, `racoon2_remote_child_sas{remote="peer"} 1`)
	name, _ := p.one(t)
	in, _, _ := strings.Cut(name, "/")
	p.a.mustCtl("sa", "rekey", in)
	waitFor(t, 20*time.Second, "another pair alone", func() bool {
		now := pairs(p.a.status(), false)
		_, there := now[name]
		return len(now) == 1 && !there
	})
	p.b.kill(syscall.SIGTERM)
	p.a.wantMetrics(99, `racoon2_child_sas{engine="kink"} 0`)
	p.a.wantMetrics(99, `racoon2_remote_up{remote="peer"} 0`)
	line := fmt.Sprintf(" out %v %v transport\n", p.src, p.dst)
	want := "phase2_up" + line + "phase2_rekey" + line + "phase2_down" + line
	waitFor(t, 20*time.Second, "the script's events", func() bool {
		got, _ := os.ReadFile(events)
		return string(got) == want
	})
}

// A pair that has carried most of its octets is replaced, and no packet is lost.
func TestKINKByteLifetime(t *testing.T) {
	p := newKINK(t, "v4", "transport")
	p.left.Lifetime = "1 hour; ipsec_sa_lifetime_byte 16 KB"
	p.right.Lifetime = p.left.Lifetime
	w := p.up(t)
	before, _ := p.one(t)
	p.steady(t, 90*time.Second, "another pair", func() bool {
		now := pairs(p.a.status(), false)
		_, there := now[before]
		return len(now) > 0 && !there
	})
	if _, c := p.one(t); !c.Initiator {
		t.Error("right rekeyed")
	}
	w.wantNoClear()
}
