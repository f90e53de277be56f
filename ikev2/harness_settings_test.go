package ikev2

import (
	"net/netip"
	"testing"
	"time"

	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

const testPSK = "correct horse battery staple"

func fqdn(name string) Identity { return Identity{message.ID_FQDN, []byte(name)} }

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func selector(src, dst string) kernel.Selector {
	return kernel.Selector{Src: prefix(src), Dst: prefix(dst), SrcPort: kernel.AnyPort, DstPort: kernel.AnyPort}
}

func testIKEProposal() IKEProposal {
	return IKEProposal{
		Encr: []Encryption{{transform.ENCR_AES_GCM_16, 128}},
		PRF:  []transform.PRF{transform.PRF_HMAC_SHA2_256},
		KE:   []transform.KE{transform.KE_CURVE25519},
	}
}

func testChildProposal() ChildProposal {
	return ChildProposal{
		Protocol: kernel.ESP, Encr: []Encryption{{transform.ENCR_AES_GCM_16, 128}}, SN: []transform.SN{transform.SN_32BIT},
	}
}

// testSettings is one remote with one tunnel between two networks.
func testSettings(me, peer, peerAddr, mine, theirs string) *Settings {
	return &Settings{
		IKEPort: 500, NATPort: 4500, CookieThreshold: 100, MaxHalfOpen: 1000,
		Remotes: []*Remote{{
			Name: peer, Where: "racoon2.conf:12",
			Peers: []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr(peerAddr), 500)},
			MyID:  fqdn(me + ".example.test"), PeerIDs: []Identity{fqdn(peer + ".example.test")}, VerifyID: true,
			SharedKey: []byte(testPSK), Proposals: []IKEProposal{testIKEProposal()},
			NATTraversal: true, Fragmentation: true, NonceSize: 32,
			Retry:        Retransmission{First: time.Second, Tries: 5, Copies: 1},
			SetupTimeout: 10 * time.Minute,
			Children: []*Child{{
				Name: me + "_out", Inbound: me + "_in", Where: "racoon2.conf:40",
				Outbound: []kernel.Selector{selector(mine, theirs)}, Mode: kernel.Tunnel, Level: kernel.Require, ReqID: 7,
				Proposals: []ChildProposal{testChildProposal()}, Replay: 64,
			}},
		}},
	}
}

// pair is two hosts that are configured for each other.
func pair(t *testing.T) (*world, *node, *node) {
	t.Helper()
	w := newWorld(t)
	a := w.add("kyoto", "192.0.2.1", testSettings("kyoto", "tokyo", "192.0.2.2", "10.0.1.0/24", "10.0.2.0/24"))
	b := w.add("tokyo", "192.0.2.2", testSettings("tokyo", "kyoto", "192.0.2.1", "10.0.2.0/24", "10.0.1.0/24"))
	return w, a, b
}

// change edits the settings of a node before anything has happened.
func (n *node) change(f func(*Settings, *Remote, *Child)) {
	s := n.e.settings
	f(s, s.Remotes[0], s.Remotes[0].Children[0])
}
