//go:build linux

package integration

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"racoon2/kernel/kerneltest/netlab"
	"racoon2/policy/spmif"
)

// A policy covers the way to the KDC, so that the tickets for it would have to come
// that way. The agent's own requests and their answers pass, over UDP and over TCP,
// as do those of "kink check"; nothing else does.
func TestKINKCoveredKDC(t *testing.T) {
	for family, more := range map[string]string{"v4": "", "v6": "\tudp_preference_limit = 1\n"} {
		t.Run(family, func(t *testing.T) {
			p := newKINK(t, family, "transport")
			conf, err := os.ReadFile(p.kdc.path("krb5.conf"))
			must(t, err)
			p.kdc.write("krb5.conf", strings.Replace(string(conf), "[realms]", more+"[realms]", 1))
			addr := netip.MustParsePrefix(kdcNetwork[family][0][1]).Addr()
			p.left.More = fmt.Sprintf(`
selector kdc_out { direction outbound; src %[1]v; dst %[2]v; policy_index kdc; };
selector kdc_in { direction inbound; src %[2]v; dst %[1]v; policy_index kdc; };
policy kdc { action auto_ipsec; remote_index peer; ipsec_mode tunnel; ipsec_index esp; my_sa_ipaddr %[3]s; peers_sa_ipaddr %[4]s; };
`, addr, p.kdc.addr, p.left.MyAddr, p.left.PeerAddr)
			way, err := p.topology.left.ns.Capture("kdc")
			must(t, err)
			w := p.up(t)
			if out, err := p.a.ctl("kink", "check", "-c", p.a.config); err != nil {
				t.Errorf("kink check beside the agent: %v\n%s", err, out)
			}
			noPing(t, p.topology.left, addr, p.kdc.addr, 3)
			asked := 0
			for _, f := range way.Stop() {
				switch {
				case !f.Outgoing || f.Kind != netlab.Clear:
				case f.DstPort == 88 && (f.Proto == 6) == (more != ""):
					asked++
				default:
					t.Errorf("in clear to the KDC: %v → %v protocol %d port %d", f.Src, f.Dst, f.Proto, f.DstPort)
				}
			}
			if asked == 0 {
				t.Error("no request went to the KDC")
			}
			w.wantNoClear()
		})
	}
}

// What a client of WATCH hears of KINK: pairs that come and go, with their
// attributes, at both ends.
func TestKINKWatch(t *testing.T) {
	p := newKINK(t, "v4", "transport")
	p.start()
	left, right := watchEvents(t, p.a), watchEvents(t, p.b)
	waitFor(t, 60*time.Second, "both watches to stand", func() bool {
		p.a.mustCtl("sa", "flush")
		ping(t, p.topology.left, p.src, p.dst, 20*time.Second)
		return left.count() > 0 && right.count() > 0
	})
	p.a.mustCtl("sa", "flush")
	waitFor(t, 20*time.Second, "right to hear of it", func() bool { return len(pairs(p.b.status(), false)) == 0 })
	ping(t, p.topology.left, p.src, p.dst, 20*time.Second)
	name, _ := p.one(t)
	in, out, _ := strings.Cut(name, "/")
	ends := []struct {
		e   *events
		spi string
	}{{left, in}, {right, out}}
	for _, end := range ends {
		end.e.want(t, "the pair that comes", func(e spmif.Event) bool {
			return e.Area == "kink" && e.Reason == "child_up" && strings.Contains(e.Attrs["spi_in"], end.spi)
		})
	}
	p.a.mustCtl("sa", "delete", in)
	for _, end := range ends {
		end.e.want(t, "the pair that goes", func(e spmif.Event) bool {
			return e.Area == "kink" && e.Reason == "child_down" && strings.Contains(e.Attrs["spi_in"], end.spi)
		})
	}
}

// events are what "racoon2 watch --json" prints.
type events struct {
	mu   sync.Mutex
	list []spmif.Event
}

func watchEvents(t *testing.T, r *racoon2) *events {
	t.Helper()
	path, err := program()
	must(t, err)
	cmd := r.in.Command(context.Background(), path, "watch", "--json", "--socket", filepath.Join(r.dir, "run", "spmif"))
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	e := &events{}
	go func() {
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			var one spmif.Event
			if json.Unmarshal(lines.Bytes(), &one) == nil {
				e.mu.Lock()
				e.list = append(e.list, one)
				e.mu.Unlock()
			}
		}
	}()
	return e
}

func (e *events) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.list)
}

func (e *events) want(t *testing.T, what string, is func(spmif.Event) bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		e.mu.Lock()
		list := e.list
		e.mu.Unlock()
		for _, one := range list {
			if is(one) {
				return
			}
		}
		if time.Now().After(end) {
			t.Fatalf("no event of %s: %+v", what, list)
		}
	}
}

// The rows of run --keylog open the ESP that was captured on the wire.
func TestKINKKeyLog(t *testing.T) {
	for name, change := range map[string]func(*kinkPair){
		"GCM": func(*kinkPair) {},
		"CBC": func(p *kinkPair) {
			p.left.ESP = "esp_enc_alg { aes128_cbc; }; esp_auth_alg { hmac_sha1; };"
			p.right.ESP = p.left.ESP
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newKINK(t, "v4", "transport")
			change(p)
			keys := filepath.Join(p.a.dir, "keys")
			p.a.args = []string{"--keylog", keys}
			w := p.up(t)
			profile := filepath.Join(p.a.dir, "wireshark")
			must(t, os.Mkdir(profile, 0o700))
			text, err := os.ReadFile(keys)
			must(t, err)
			var rows []string
			for line := range strings.Lines(string(text)) {
				if strings.HasPrefix(line, `"IP`) {
					rows = append(rows, line)
				}
			}
			if len(rows) < 2 {
				t.Fatalf("the key log has\n%s", text)
			}
			must(t, os.WriteFile(filepath.Join(profile, "esp_sa"), []byte(strings.Join(rows, "")), 0o600))
			capture := filepath.Join(profile, "capture.pcap")
			must(t, os.WriteFile(capture, pcap(w.sent(netlab.ESP)), 0o600))
			cmd := exec.Command("tshark", "-n", "-r", capture, "-V", "-o", "esp.enable_encryption_decode:TRUE", "-o", "esp.enable_authentication_check:TRUE")
			cmd.Env = append(os.Environ(), "HOME="+profile, "XDG_CONFIG_HOME="+profile, "WIRESHARK_CONFIG_DIR="+profile)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, want := range []string{"Echo (ping) request", "Echo (ping) reply"} {
				if !bytes.Contains(out, []byte(want)) {
					t.Errorf("tshark does not show %q", want)
				}
			}
			for _, bad := range []string{"incorrect", "Malformed", "UAT WARNING"} {
				if bytes.Contains(out, []byte(bad)) {
					t.Errorf("tshark says %q", bad)
				}
			}
			if t.Failed() {
				t.Logf("%s\n%s", text, out)
			}
		})
	}
}

// pcap is a capture file of Ethernet frames.
func pcap(frames []netlab.Frame) []byte {
	out := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	out = append(out, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	out = binary.LittleEndian.AppendUint32(out, 65535)
	out = binary.LittleEndian.AppendUint32(out, 1)
	for _, f := range frames {
		for _, v := range []int{0, 0, len(f.Octets), len(f.Octets)} {
			out = binary.LittleEndian.AppendUint32(out, uint32(v))
		}
		out = append(out, f.Octets...)
	}
	return out
}
