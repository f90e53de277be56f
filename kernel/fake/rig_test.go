package fake

import (
	"net/netip"
	"testing"
	"time"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// traffic is everything from one network to another.
func traffic(src, dst string) kernel.Selector {
	return kernel.Selector{
		Src: netip.MustParsePrefix(src), Dst: netip.MustParsePrefix(dst),
		SrcPort: kernel.AnyPort, DstPort: kernel.AnyPort,
	}
}

// packet is a UDP packet from one host to another.
func packet(src, dst string, id uint64) Packet {
	return Packet{ID: id, Octets: 100, Selector: kernel.Selector{
		Src: host(netip.MustParseAddr(src)), Dst: host(netip.MustParseAddr(dst)),
		Proto: 17, SrcPort: kernel.Port(1000), DstPort: kernel.Port(53),
	}}
}

// rig is two gateways, A for 10.0.0.0/24 and B for 10.0.1.0/24, and their policies.
type rig struct {
	t    *testing.T
	now  time.Time
	a, b *Kernel
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, now: start, a: New("a"), b: New("b")}
	out, in := traffic("10.0.0.0/24", "10.0.1.0/24"), traffic("10.0.1.0/24", "10.0.0.0/24")
	r.policy(r.a, kernel.Out, out, addrA, addrB)
	r.policy(r.a, kernel.In, in, addrB, addrA)
	r.policy(r.b, kernel.Out, in, addrB, addrA)
	r.policy(r.b, kernel.In, out, addrA, addrB)
	return r
}

func (r *rig) do(k *Kernel, op kernel.Op) kernel.Result {
	r.t.Helper()
	result := k.Apply(r.now, kernel.Request{Owner: kernel.Owner{Serial: 9}, Op: op})
	if result.Err != nil {
		r.t.Fatalf("%T: %v", op, result.Err)
	}
	if result.Request.Owner.Serial != 9 {
		r.t.Fatalf("%T: the result lost its owner", op)
	}
	return result
}

func (r *rig) policy(k *Kernel, d kernel.Direction, s kernel.Selector, src, dst netip.Addr) {
	r.t.Helper()
	r.do(k, kernel.AddPolicy{Policy: kernel.Policy{
		Selector: s, Direction: d, Action: kernel.Protect, Priority: 100,
		Templates: []kernel.Template{{Src: src, Dst: dst, Proto: kernel.ESP, Mode: kernel.Tunnel, Level: kernel.Require, ReqID: 7}},
	}})
}

func tunnelSA(spi kernel.SPI, d kernel.Direction, key string) kernel.SA {
	return kernel.SA{
		SAID: kernel.SAID{Dst: addrB, Proto: kernel.ESP, SPI: spi}, Src: addrA, Direction: d,
		Mode: kernel.Tunnel, ReqID: 7, Selector: traffic("10.0.0.0/24", "10.0.1.0/24"),
		Encr: transform.ENCR_AES_GCM_16, EncrKey: []byte(key), Replay: 64,
	}
}

// pair installs the SA from A to B on both ends.
func (r *rig) pair(change func(out, in *kernel.SA)) {
	r.t.Helper()
	r.do(r.b, kernel.AddSA{SA: func() kernel.SA {
		out, in := tunnelSA(0x1000, kernel.Out, "key"), tunnelSA(0x1000, kernel.In, "key")
		if change != nil {
			change(&out, &in)
		}
		r.do(r.a, kernel.AddSA{SA: out})
		return in
	}()})
}

func (r *rig) drops(k *Kernel, d Drop, want uint64) {
	r.t.Helper()
	if got := k.Drops()[d]; got != want {
		r.t.Errorf("%s dropped %d for %s, want %d (all: %v)", k.Name, got, d, want, k.Drops())
	}
}

// carry sends a packet from A and gives what came out to B.
func (r *rig) carry(p Packet) *Packet {
	r.t.Helper()
	d, _ := r.a.Output(r.now, p)
	if d == nil {
		r.t.Fatalf("nothing left %s: %v", r.a.Name, r.a.Drops())
	}
	got, _ := r.b.Input(r.now, d)
	return got
}
