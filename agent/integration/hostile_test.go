//go:build linux

package integration

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"iter"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"racoon2/agent"

	"golang.org/x/sys/unix"
)

// refusal is a pair of configurations that cannot agree, and what the two ends
// say about it.
type refusal struct {
	name        string
	left, right func(*peerConfig)
	answer      string // what right answers, as left's log spells it
	leftReason  string // counter and reason at left, "" for none
	rightReason string
	explained   string // words of the explanation in right's log
}

var refusals = []refusal{
	{
		name:       "wrong key",
		right:      func(c *peerConfig) { c.Secret = "another key" },
		answer:     "AUTHENTICATION_FAILED",
		leftReason: "auth_failed", rightReason: "auth_failed",
		explained: "pre-shared key",
	},
	{
		name:       "wrong ID",
		left:       func(c *peerConfig) { c.MyID = "somebody.example" },
		answer:     "AUTHENTICATION_FAILED",
		leftReason: "auth_failed", rightReason: "id_mismatch",
		explained: "somebody.example",
	},
	{
		name:       "no common proposal",
		left:       func(c *peerConfig) { c.IKE = "kmp_enc_alg { aes_gcm,128; };" },
		right:      func(c *peerConfig) { c.IKE = "kmp_enc_alg { aes256_cbc; };" },
		answer:     "NO_PROPOSAL_CHOSEN",
		leftReason: "peer_refused", rightReason: "no_proposal_chosen",
		explained: "ENCR_AES_CBC",
	},
	{
		name:       "no common group",
		left:       func(c *peerConfig) { c.IKE = "kmp_dh_group { curve25519; };" },
		right:      func(c *peerConfig) { c.IKE = "kmp_dh_group { ecp384; };" },
		answer:     "NO_PROPOSAL_CHOSEN",
		leftReason: "peer_refused", rightReason: "no_proposal_chosen",
		explained: "ECP_384",
	},
	{
		name:       "no common child proposal",
		left:       func(c *peerConfig) { c.ESP = "esp_enc_alg { aes_gcm,128; };" },
		right:      func(c *peerConfig) { c.ESP = "esp_enc_alg { chacha20_poly1305; };" },
		answer:     "NO_PROPOSAL_CHOSEN",
		leftReason: "no_proposal_chosen", rightReason: "no_proposal_chosen",
		explained: "ENCR_CHACHA20_POLY1305",
	},
	{
		name:       "no common traffic selector",
		right:      func(c *peerConfig) { c.MyNet, c.PeerNet = "10.9.9.0/24", "10.8.8.0/24" },
		answer:     "TS_UNACCEPTABLE",
		leftReason: "ts_unacceptable", rightReason: "ts_unacceptable",
		explained: "10.9.9.0",
	},
}

// Every refusal is answered as the RFC says, explained in the log, and counted
// at both ends; nothing passes in clear meanwhile.
func TestRefusals(t *testing.T) {
	for _, r := range refusals {
		t.Run(r.name, func(t *testing.T) {
			p := newPair(t, "v4", "tunnel", false)
			p.reconfigure(r.left, r.right)
			w := p.watch(t)
			p.start()
			noPing(t, p.left, p.src, p.dst, 3)
			waitFor(t, 10*time.Second, "left to be told "+r.answer, func() bool {
				return strings.Contains(p.a.log(), r.answer)
			})
			w.wantNoClear()
			if log := p.b.log(); !strings.Contains(log, r.explained) || !strings.Contains(log, "reason="+r.rightReason) {
				t.Errorf("right's log lacks %q with reason=%s", r.explained, r.rightReason)
			}
			wantCounter(t, "left", p.a, r.leftReason)
			wantCounter(t, "right", p.b, r.rightReason)
			for _, log := range []string{p.a.log(), p.b.log()} {
				if strings.Contains(log, secret) || strings.Contains(log, "another key") {
					t.Error("a pre-shared key is in a log")
				}
			}
		})
	}
}

// reconfigure writes both configurations anew after changes.
func (p *pair) reconfigure(left, right func(*peerConfig)) {
	for _, e := range []struct {
		r      *racoon2
		change func(*peerConfig)
	}{{p.a, left}, {p.b, right}} {
		if e.change != nil {
			e.change(&e.r.conf)
		}
		e.r.configure()
	}
}

func wantCounter(t *testing.T, who string, r *racoon2, reason string) {
	t.Helper()
	if reason == "" {
		return
	}
	s := r.status()
	if s.Counters["ikev2."+reason] == 0 {
		t.Errorf("%s did not count %s: %v", who, reason, s.Counters)
	}
}

// A group that right does not like best is asked for again with its own.
func TestOtherGroupIsAskedFor(t *testing.T) {
	p := newPair(t, "v4", "tunnel", false)
	p.reconfigure(
		func(c *peerConfig) { c.IKE = "kmp_dh_group { curve25519; ecp384; };" },
		func(c *peerConfig) { c.IKE = "kmp_dh_group { ecp384; };" })
	p.start()
	ping(t, p.left, p.src, p.dst, 15*time.Second)
	for _, ike := range p.a.status().IKESAs {
		if ike.KE != "ECP_384" {
			t.Errorf("the IKE SA has %s", ike.KE)
		}
	}
	wantCounter(t, "right", p.b, "invalid_ke")
}

// initRequest is a plausible IKE_SA_INIT request, made by hand: one proposal
// (AES-GCM-256, PRF SHA-256, Curve25519), a KE value and a nonce (RFC 7296 §1.2).
func initRequest(spi uint64) []byte {
	transforms := []byte{
		3, 0, 0, 12, 1, 0, 0, 20, 0x80, 14, 1, 0, // ENCR_AES_GCM_16, 256 bits
		3, 0, 0, 8, 2, 0, 0, 5, // PRF_HMAC_SHA2_256
		0, 0, 0, 8, 4, 0, 0, 31, // Curve25519
	}
	proposal := append([]byte{0, 0, 0, byte(8 + len(transforms)), 1, 1, 0, 3}, transforms...)
	payload := func(next byte, body []byte) []byte {
		return append([]byte{next, 0, 0, byte(4 + len(body))}, body...)
	}
	ke := append([]byte{0, 31, 0, 0, 9}, make([]byte, 31)...)
	b := binary.BigEndian.AppendUint64(nil, spi)
	b = append(b, make([]byte, 8)...)
	b = append(b, 33, 0x20, 34, 0x08, 0, 0, 0, 0, 0, 0, 0, 0)
	b = append(b, payload(34, proposal)...)
	b = append(b, payload(40, ke)...)
	b = append(b, payload(0, binary.BigEndian.AppendUint64(make([]byte, 24), spi))...)
	binary.BigEndian.PutUint32(b[24:], uint32(len(b)))
	return b
}

// udp4 is an IPv4 packet with a datagram; the checksum of UDP is left out (RFC 768).
func udp4(src, dst netip.AddrPort, data []byte) []byte {
	b := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0}
	b = append(append(b, src.Addr().AsSlice()...), dst.Addr().AsSlice()...)
	binary.BigEndian.PutUint16(b[2:], uint16(28+len(data)))
	var sum uint32
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum+sum>>16))
	b = binary.BigEndian.AppendUint16(b, src.Port())
	b = binary.BigEndian.AppendUint16(b, dst.Port())
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(data)))
	return append(append(b, 0, 0), data...)
}

// inject sends datagrams from the wire to right's IKE port, by way of one
// packet socket, past everything that left's rules say.
func (p *pair) inject(t *testing.T, packets iter.Seq2[netip.AddrPort, []byte]) {
	t.Helper()
	from, err := p.left.ns.Link("wan")
	must(t, err)
	to, err := p.right.ns.Link("wan")
	must(t, err)
	header := slices.Concat(to.Address, from.Address, []byte{0x08, 0x00})
	must(t, p.left.ns.Do(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		link := unix.SockaddrLinklayer{Ifindex: from.Index}
		for src, data := range packets {
			packet := udp4(src, netip.AddrPortFrom(p.right.outer, 500), data)
			if err := unix.Sendto(fd, slices.Concat(header, packet), 0, &link); err != nil {
				return err
			}
		}
		return nil
	}))
}

// Garbage, cut and oversized datagrams are counted and change nothing.
func TestGarbage(t *testing.T) {
	p := newPair(t, "v4", "tunnel", false)
	p.start()
	ping(t, p.left, p.src, p.dst, 15*time.Second)
	from, whole := netip.AddrPortFrom(p.left.outer, 500), initRequest(1)
	p.inject(t, func(yield func(netip.AddrPort, []byte) bool) {
		for n := range len(whole) {
			yield(from, whole[:n])
		}
		yield(from, append(initRequest(2), make([]byte, 1000)...)) // longer than its header says
		huge := initRequest(3)
		binary.BigEndian.PutUint32(huge[24:], 1<<31)
		yield(from, huge)
	})
	waitFor(t, 10*time.Second, "right to count what it refused", func() bool {
		return p.b.status().Counters["ikev2.invalid_syntax"] >= uint64(len(whole))
	})
	if n := len(p.b.status().IKESAs); n != 1 {
		t.Errorf("right has %d IKE SAs after garbage", n)
	}
	ping(t, p.left, p.src, p.dst, time.Second)
}

// 100,000 IKE_SA_INIT requests from spoofed addresses: right asks for cookies
// and keeps no more than its bound, its memory does not grow with the flood, and
// the tunnel goes on.
func TestFlood(t *testing.T) {
	const packets = 100_000
	p := newPair(t, "v4", "tunnel", false)
	p.reconfigure(nil, func(c *peerConfig) { c.AnyPeer = true })
	p.b.level, p.a.level = "info", "info"
	p.start()
	ping(t, p.left, p.src, p.dst, 15*time.Second)
	before := p.b.resident(t)
	const burst = 10_000
	for first := 0; first < packets; first += burst {
		p.inject(t, func(yield func(netip.AddrPort, []byte) bool) {
			for i := first; i < first+burst; i++ {
				src := netip.AddrFrom4([4]byte{198, byte(18 + i>>16), byte(i >> 8), byte(i)})
				yield(netip.AddrPortFrom(src, 500), initRequest(uint64(i)+1))
			}
		})
		ping(t, p.left, p.src, p.dst, 5*time.Second)
	}
	ping(t, p.left, p.src, p.dst, 5*time.Second)
	s := p.b.status()
	if s.Counters["ikev2.cookie_required"] == 0 {
		t.Errorf("no cookie was asked for: %v", s.Counters)
	}
	if n := len(s.IKESAs); n > 2000 {
		t.Errorf("right holds %d IKE SAs", n)
	}
	if after := p.b.resident(t); after > before+64<<20 {
		t.Errorf("right grew from %d to %d octets", before, after)
	}
}

// resident is the process's memory in octets.
func (r *racoon2) resident(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", r.cmd.Process.Pid))
	must(t, err)
	var size, resident int
	_, err = fmt.Sscan(string(b), &size, &resident)
	must(t, err)
	return resident * os.Getpagesize()
}

// What status prints as JSON is one document of the known shape.
func TestStatusIsJSON(t *testing.T) {
	p := newPair(t, "v4", "tunnel", false)
	p.start()
	dec := json.NewDecoder(strings.NewReader(p.a.mustCtl("status", "--json")))
	dec.DisallowUnknownFields()
	var s agent.Status
	must(t, dec.Decode(&s))
	if s.Kernel.Name != backend() || len(s.Policies) == 0 {
		t.Errorf("status: %+v", s)
	}
}
