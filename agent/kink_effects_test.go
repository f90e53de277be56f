package agent

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
	"racoon2/kink"
)

// idleKINKHost is an agent with KINK whose keytab is empty, and which knows no KDC.
func idleKINKHost(t *testing.T, words string) *host {
	t.Helper()
	a, _ := newPair(t)
	keytab := a.write("keytab", "\x05\x02")
	conf := a.write("krb5.conf", "[libdefaults]\n\tdefault_realm = EXAMPLE.TEST\n\tdns_lookup_kdc = false\n")
	a.edit("acceptable_kmp { ikev2; };", fmt.Sprintf(`acceptable_kmp { kink; ikev2; };
	kink { my_principal "kink/a.example.test"; peers_principal "kink/b.example.test"; keytab %q; krb5_conf %q; %s };`, keytab, conf, words))
	a.edit("interface {", fmt.Sprintf("interface { kink { %v port %d; };", a.addr, freePort(t, a.addr)))
	return a
}

// kinkPairInfo is a pair of SAs in transport mode for one port.
func kinkPairInfo() kink.ChildInfo {
	return kink.ChildInfo{
		Name: "out", State: "up", Initiator: true, Protocol: kernel.ESP, Mode: kernel.Transport, SPIIn: 0x1001, SPIOut: 0x1002,
		Local: addr("127.0.0.1"), Remote: addr("127.0.0.2"),
		Selector: kernel.Selector{
			Src: netip.MustParsePrefix("127.0.0.1/32"), Dst: netip.MustParsePrefix("127.0.0.2/32"), Proto: 6,
			SrcPort: kernel.AnyPort, DstPort: kernel.Port(80),
		},
	}
}

// Scripts hear of KINK's pairs as of IKE's children: of one that comes, of one that
// takes another's place, not again after a reload, and of the last that goes.
func TestKINKHooks(t *testing.T) {
	dir := t.TempDir()
	path := script(t, dir, "hook", `{ echo "$1"; /bin/tr '\0' '\n' </proc/$$/environ; echo; } >>"`+dir+`/events"`)
	a := idleKINKHost(t, fmt.Sprintf("script { child_up %[1]q; child_down %[1]q; child_rekey %[1]q; };", path))
	a.start()
	const peer = "kink/b.example.test@EXAMPLE.TEST"
	info := kinkPairInfo()
	for _, e := range []kink.Effect{
		kink.ChildUp{Remote: "peer", Child: "out", Peer: peer, Info: info},
		kink.ChildUp{Remote: "peer", Child: "out", Peer: peer, Info: info, Again: true},
		kink.ChildUp{Remote: "peer", Child: "out", Peer: peer, Info: info, Told: true},
		kink.ChildDown{Remote: "peer", Child: "out", Peer: peer, Info: info, Reason: "of the test"},
	} {
		a.agent.kinkHook(e)
	}
	said := &host{t: t, dir: dir}
	got := said.awaitEvents(3)
	env := "\nLOCAL_ADDR=127.0.0.1\nREMOTE_ADDR=127.0.0.2\nSELECTOR_INDEX=out\nIPSEC_MODE=transport\nLOCAL_NET_ADDR=127.0.0.1\nLOCAL_NET_PREFIXLEN=32\nLOCAL_NET_PORT=0\n" +
		"REMOTE_NET_ADDR=127.0.0.2\nREMOTE_NET_PREFIXLEN=32\nREMOTE_NET_PORT=80\nUPPER_LAYER_PROTOCOL="
	for i, event := range []string{"phase2_up", "phase2_rekey", "phase2_down"} {
		if !strings.HasPrefix(got[i], event+env) {
			t.Errorf("event %d is\n%s\nwant\n%s", i, got[i], event+env)
		}
	}
	a.stop()
	if now := said.events(); !slices.Equal(now, got) {
		t.Errorf("more events: %q", now[len(got):])
	}
}

// KINK's pairs are counted with their remote, which is up while it has one.
func TestKINKMetrics(t *testing.T) {
	a := idleKINKHost(t, "")
	a.start()
	for n := range 3 {
		var x exposition
		peer := kink.PeerInfo{Remote: "peer", Principal: "kink/b.example.test@EXAMPLE.TEST"}
		for range n {
			peer.Children = append(peer.Children, kinkPairInfo())
		}
		a.agent.exposeSAs(&x, nil, []kink.PeerInfo{peer}, map[string]uint64{})
		values := parseMetrics(t, x.b.String())
		for key, want := range map[string]int{
			`racoon2_child_sas{engine="kink"}`: n, `racoon2_child_sas{engine="ikev2"}`: 0,
			`racoon2_remote_child_sas{remote="peer"}`: n, `racoon2_remote_up{remote="peer"}`: min(n, 1),
		} {
			if got := values[key]; int(got) != want {
				t.Errorf("with %d pairs %s is %v, want %d", n, key, got, want)
			}
		}
	}
}

// The key log has each SA of KINK once, with the keys of the pair that stands: not
// those that an initiator has installed in advance, nor those of a pair that failed.
func TestKINKKeyLogOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	k, err := openKeyLog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer k.close()
	info := kinkPairInfo()
	info.Transforms = []kink.TransformInfo{{Protocol: kernel.ESP, SPIIn: info.SPIIn, SPIOut: info.SPIOut}}
	sa := func(spi kernel.SPI, out bool, fill byte) kink.Effect {
		s := kernel.SA{
			SAID: kernel.SAID{Dst: info.Local, Proto: kernel.ESP, SPI: spi}, Src: info.Remote, Direction: kernel.In,
			Encr: transform.ENCR_AES_GCM_16, EncrKey: slices.Repeat([]byte{fill}, 20),
		}
		if out {
			s.Src, s.Dst, s.Direction = info.Local, info.Remote, kernel.Out
		}
		return kink.KernelRequest{Request: kernel.Request{Op: kernel.AddSA{SA: s}}}
	}
	gone := func(spi kernel.SPI) kink.Effect {
		return kink.KernelRequest{Request: kernel.Request{Op: kernel.DeleteSA{ID: kernel.SAID{Dst: info.Local, Proto: kernel.ESP, SPI: spi}}}}
	}
	for _, e := range []kink.Effect{
		sa(0x2001, false, 0xee), gone(0x2001), // comes to nothing
		sa(0x1001, false, 0xaa), gone(0x1001), sa(0x1001, false, 0xbb), sa(0x1002, true, 0xcc),
		kink.ChildUp{Info: info}, kink.ChildUp{Info: info, Told: true},
	} {
		if err := k.revealKINK(e); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := string(data)
	for text, want := range map[string]int{"eeee": 0, "aaaa": 0, strings.Repeat("bb", 20): 1, strings.Repeat("cc", 20): 1} {
		if got := strings.Count(all, text); got != want {
			t.Errorf("%q is there %d times, want %d:\n%s", text, got, want, all)
		}
	}
	if len(k.held) != 0 {
		t.Errorf("%d rows are held for ever", len(k.held))
	}
}
