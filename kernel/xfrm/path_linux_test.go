package xfrm

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
	"racoon2/kernel/kerneltest"
	"racoon2/kernel/netlink"
)

// tunnel installs one tunnel from the first host to the second, for UDP to the
// suite's port.
func (l *lab) tunnel(from, to netip.Addr) {
	l.t.Helper()
	p := l.protected()
	p.Templates[0] = kernel.Template{Src: from, Dst: to, Proto: kernel.ESP, Mode: kernel.Tunnel, Level: kernel.Require, ReqID: 77}
	l.must(0, kernel.UpdatePolicy{Policy: p})
	p.Direction = kernel.In
	l.must(1, kernel.UpdatePolicy{Policy: p})
}

// tunnelSA is the SA of that tunnel, as one host sees it.
func (l *lab) tunnelSA(to netip.Addr, d kernel.Direction, encap *kernel.Encap) kernel.SA {
	sa := kernel.SA{
		SAID: kernel.SAID{Dst: to, Proto: kernel.ESP, SPI: 0x1001}, Src: l.addrs[0], Direction: d, Mode: kernel.Tunnel,
		ReqID: 77, Selector: l.protected().Selector, Encr: transform.ENCR_AES_GCM_16, EncrKey: key20, Encap: encap,
	}
	if d == kernel.In {
		sa.Replay = 64
	}
	return sa
}

// send sends a text through the tunnel and waits for it.
func (l *lab) send(a, b *kerneltest.Host, text string) {
	l.t.Helper()
	a.Send(kerneltest.Port, text)
	select {
	case got := <-b.Received:
		if got != text {
			l.t.Errorf("%q arrived, not %q", got, text)
		}
	case <-time.After(kerneltest.Patience):
		l.t.Fatalf("%q was not delivered", text)
	}
}

func TestEncapAndMapping(t *testing.T) {
	l := newLab4(t)
	if !withESP(t) {
		return
	}
	a, b := l.hosts()
	for i := range l.ns {
		var s socket
		l.do(i, func() (err error) {
			s.UDPConn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(l.addrs[i], 4500)))
			return err
		})
		t.Cleanup(func() { s.Close() })
		for _, err := range []error{l.backends[i].Bypass(s), l.backends[i].AttachEncap(s)} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	l.tunnel(l.addrs[0], l.addrs[1])
	l.must(1, kernel.AddSA{SA: l.tunnelSA(l.addrs[1], kernel.In, &kernel.Encap{Local: 4500, Remote: 4500})})
	out := l.tunnelSA(l.addrs[1], kernel.Out, &kernel.Encap{Local: 4500, Remote: 4500})
	l.must(0, kernel.AddSA{SA: out})
	l.send(a, b, "encapsulated")

	// As if a NAT gave another port, and the receiver followed.
	out.EncrKey, out.Encap = nil, &kernel.Encap{Local: 4501, Remote: 4500}
	l.must(0, kernel.UpdateSA{SA: out})
	l.send(a, b, "from another port")
	want := kernel.Mapping{
		ID: out.SAID, Old: netip.AddrPortFrom(l.addrs[0], 4500), New: netip.AddrPortFrom(l.addrs[0], 4501),
	}
	if got := l.event(1); got != want {
		t.Errorf("event %+v, want %+v", got, want)
	}
	in := l.tunnelSA(l.addrs[1], kernel.In, &kernel.Encap{Local: 4500, Remote: 4501})
	in.EncrKey = nil
	l.must(1, kernel.UpdateSA{SA: in})
	l.send(a, b, "after the update")
	if n := l.must(1, kernel.GetSA{ID: in.SAID}).SAs[0].Packets; n != 3 {
		t.Errorf("%d packets", n)
	}
}

// TestMovedSA: an SA that gets another destination keeps its key and never
// uses a sequence number again.
func TestMovedSA(t *testing.T) {
	for name, esn := range map[string]bool{"32-bit": false, "ESN": true} {
		t.Run(name, func(t *testing.T) {
			l := newLab4(t)
			if !withESP(t) {
				return
			}
			moved := netip.MustParseAddr("192.0.2.3")
			if err := l.ns[1].Address("eth0", "192.0.2.3/24"); err != nil {
				t.Fatal(err)
			}
			a, b := l.hosts()
			l.tunnel(l.addrs[0], l.addrs[1])
			in, out := l.tunnelSA(l.addrs[1], kernel.In, nil), l.tunnelSA(l.addrs[1], kernel.Out, nil)
			in.ESN, out.ESN = esn, esn
			l.must(1, kernel.AddSA{SA: in})
			l.must(0, kernel.AddSA{SA: out})
			l.send(a, b, "before")

			in.EncrKey, out.EncrKey = nil, nil
			in.Dst, out.Dst = moved, moved
			l.tunnel(l.addrs[0], moved)
			l.must(1, kernel.UpdateSA{SA: in, OldDst: l.addrs[1]})
			l.must(0, kernel.UpdateSA{SA: out, OldDst: l.addrs[1]})
			l.send(a, b, "after")
			for i := range l.backends {
				all := l.must(i, kernel.DumpSA{}).SAs
				if len(all) != 1 || all[0].Dst != moved || all[0].Packets != 2 || all[0].ReplayErr != 0 {
					t.Errorf("host %d has %+v", i, all)
				}
			}
			dump, err := l.backends[0].dumpOf(out.SAID)
			if err != nil {
				t.Fatal(err)
			}
			if seq := sentSeq(t, dump); seq != 1+seqMargin+1 {
				t.Errorf("the sequence number is %d", seq)
			}
		})
	}
}

// sentSeq is the last sequence number that an SA used.
func sentSeq(t *testing.T, dump []byte) uint32 {
	t.Helper()
	rest, err := decode(dump, &stateInfo{})
	if err != nil {
		t.Fatal(err)
	}
	for a := netlink.ParseAttributes(rest); a.Next(); {
		var seq uint32
		switch a.Type() {
		case attrReplay:
			var r replayInfo
			_, err = decode(a.Octets(), &r)
			seq = r.OutSeq
		case attrReplayESN:
			var r replayESNInfo
			_, err = decode(a.Octets(), &r)
			seq = r.OutSeq
		default:
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		return seq
	}
	t.Fatal("an SA without sequence numbers")
	return 0
}
