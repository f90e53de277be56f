//go:build linux

package integration

import (
	"os"
	"strings"
	"testing"
	"time"

	"racoon2/kernel/kerneltest/netlab"
)

// swanPackages are those of the virtual machine.
const swanPackages = "strongswan-charon strongswan-swanctl libcharon-extra-plugins libstrongswan-standard-plugins libstrongswan-extra-plugins"

// vmCase is what strongSwan needs the kernel's IPsec for.
type vmCase struct {
	name   string
	change func(p *topology, r *peerConfig, s *swanConnection)
	kind   netlab.Kind // on the wire
	says   string      // in strongSwan's list of SAs
}

// transport protects the hosts themselves.
func transport(p *topology, r *peerConfig, s *swanConnection) {
	r.Mode, r.MyNet, r.PeerNet = "transport", p.left.outer.String(), p.right.outer.String()
	s.LocalTS, s.RemoteTS, s.Child = "dynamic", "dynamic", s.Child+"mode = transport\n"
	p.left.inner, p.right.inner = p.left.outer, p.right.outer
}

func authentication(_ *topology, r *peerConfig, s *swanConnection) {
	r.ESP, r.IPsec, r.Sections = "", "sa_index ah;", "sa ah { sa_protocol ah; ah_auth_alg { hmac_sha2_256; }; };\n"
	s.AH = "sha256"
}

func compression(_ *topology, r *peerConfig, s *swanConnection) {
	r.IPsec = "sa_index { esp; comp; };"
	r.Sections = "sa esp { sa_protocol esp; " + r.ESP + " };\nsa comp { sa_protocol ipcomp; ipcomp_alg { deflate; }; };\n"
	r.ESP = ""
	s.Child += "ipcomp = yes\n"
}

var vmCases = []vmCase{
	{"ESP with extended sequence numbers", func(_ *topology, r *peerConfig, s *swanConnection) {
		r.IPsec, s.ESP = "ext_sequence on;", "aes128gcm16-esn"
	}, netlab.ESP, "ESN"},
	{"ESP in transport mode", transport, netlab.ESP, "TRANSPORT"},
	{"AH in tunnel mode", authentication, netlab.AH, "AH:HMAC_SHA2_256_128"},
	{"AH in transport mode", func(p *topology, r *peerConfig, s *swanConnection) {
		authentication(p, r, s)
		transport(p, r, s)
	}, netlab.AH, "TRANSPORT, AH"},
	{"IPComp in tunnel mode", compression, netlab.ESP, "CPI"},
	{"IPComp in transport mode", func(p *topology, r *peerConfig, s *swanConnection) {
		compression(p, r, s)
		transport(p, r, s)
	}, netlab.ESP, "CPI"},
	{"GMAC", func(_ *topology, r *peerConfig, s *swanConnection) {
		r.ESP, s.ESP = "esp_enc_alg { aes_gmac,128; };", "aes128gmac"
	}, netlab.ESP, "NULL_AES_GMAC"},
}

// strongSwan with the kernel's IPsec: AH, IPComp, transport mode, extended
// sequence numbers; either side begins, rekeys and ends. ESP is the kernel's at
// both ends, in the virtual machine.
func TestStrongSwanKernel(t *testing.T) {
	needRoot(t)
	if os.Getenv(envBinary) == "" {
		out := inVM(t, 900, swanPackages, "^TestStrongSwanKernel$")
		if n := strings.Count(out, "--- PASS: TestStrongSwanKernel/"); n != 2*len(vmCases) {
			t.Errorf("%d of %d tunnels were tried in the virtual machine:\n%s", n, 2*len(vmCases), out)
		}
		return
	}
	for _, family := range []string{"v4", "v6"} {
		for _, c := range vmCases {
			t.Run(family+" "+c.name, func(t *testing.T) {
				top := newTopology(t, family, false)
				p := newSwanPairAt(t, top, suites[0], func(r *peerConfig, s *swanConnection) { c.change(top, r, s) })
				w := p.watch(t)
				p.live(t, c)
				before := p.s.sas()
				p.s.swanctl("--rekey", "--child", "net")
				waitFor(t, 30*time.Second, "strongSwan to rekey", func() bool { return p.s.sas() != before })
				p.live(t, c)
				p.s.swanctl("--terminate", "--ike", "peer")
				p.noSAs(t)

				p.s.swanctl("--initiate", "--child", "net")
				p.live(t, c)
				spi := p.r.status().IKESAs[0].Children[0].SPIIn
				p.r.mustCtl("sa", "rekey", spi)
				waitFor(t, 30*time.Second, "racoon2 to rekey", func() bool {
					s := p.r.status()
					return len(s.IKESAs) == 1 && len(s.IKESAs[0].Children) == 1 && s.IKESAs[0].Children[0].SPIIn != spi
				})
				p.live(t, c)
				p.r.mustCtl("sa", "flush")
				p.noSAs(t)
				w.wantESP(c.kind, 16)
			})
		}
	}
}

// live wants pings both ways, large ones too, which compression makes smaller.
func (p *swanPair) live(t *testing.T, c vmCase) {
	t.Helper()
	for _, way := range [][2]site{{p.left, p.right}, {p.right, p.left}} {
		for _, size := range []int{0, 1000} {
			echo := netlab.Ping{From: way[0].inner, To: way[1].inner, Size: size, Timeout: 2 * time.Second}
			if err := way[0].ns.PingUntil(echo, 60*time.Second); err != nil {
				t.Fatalf("%d octets: %v", size, err)
			}
		}
	}
	says := c.says
	if child := p.r.status().IKESAs[0].Children[0]; says == "CPI" {
		says = child.SPIIn + "/" + child.CPIIn // as strongSwan writes them
	}
	if sas := p.s.sas(); !strings.Contains(sas, says) {
		t.Errorf("strongSwan does not speak of %q:\n%s", says, sas)
	}
}
