package agent

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"racoon2/ikev2"
	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

// recorder is two engines that talk with each other, with a capture of what they say
// and the key log of the first one.
type recorder struct {
	t       *testing.T
	now     time.Time
	engines map[netip.Addr]*ikev2.Engine
	spi     kernel.SPI
	pcap    bytes.Buffer
	log     *keyLog
	logger  netip.Addr // whose keys are logged
	sas     []kernel.SA
	wire    []ikev2.Send
}

func keyLogSettings(me, peer string, ike ikev2.IKEProposal, child ikev2.ChildProposal) *ikev2.Settings {
	id := func(s string) ikev2.Identity { return ikev2.Identity{Type: message.ID_FQDN, Data: []byte(s)} }
	net := map[string]string{"192.0.2.1": "10.0.1.0/24", "192.0.2.2": "10.0.2.0/24"}
	return &ikev2.Settings{IKEPort: 500, NATPort: 4500, Remotes: []*ikev2.Remote{{
		Name: "peer", Peers: []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr(peer), 500)},
		MyID: id("host-" + me), PeerIDs: []ikev2.Identity{id("host-" + peer)}, VerifyID: true,
		SharedKey: []byte("secret"), Proposals: []ikev2.IKEProposal{ike}, NonceSize: 32,
		Children: []*ikev2.Child{{
			Name: "out", Mode: kernel.Tunnel, ReqID: 7, Proposals: []ikev2.ChildProposal{child},
			Outbound: []kernel.Selector{{Src: netip.MustParsePrefix(net[me]), Dst: netip.MustParsePrefix(net[peer]), SrcPort: kernel.AnyPort, DstPort: kernel.AnyPort}},
		}},
	}}}
}

// record has the first engine set up a tunnel with the second one.
func record(t *testing.T, path string, ike ikev2.IKEProposal, child ikev2.ChildProposal) *recorder {
	t.Helper()
	log, err := openKeyLog(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.close)
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	r := &recorder{t: t, now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), log: log, logger: a, spi: 0x1000, engines: map[netip.Addr]*ikev2.Engine{}}
	// pcap, with raw IP packets
	for _, v := range []uint32{0xa1b2c3d4, 2 | 4<<16, 0, 0, 65535, 101} {
		_ = binary.Write(&r.pcap, binary.LittleEndian, v)
	}
	for i, addr := range []netip.Addr{a, b} {
		peer := []netip.Addr{b, a}[i]
		r.engines[addr] = ikev2.New(ikev2.Config{Rand: rand.NewChaCha8([32]byte{byte(i)}), KeyLog: addr == a,
			Settings: keyLogSettings(addr.String(), peer.String(), ike, child)})
	}
	r.handle(a, ikev2.Initiate{Remote: "peer", Child: "out"})
	for len(r.wire) > 0 {
		p := r.wire[0]
		r.wire = r.wire[1:]
		r.capture(p.Local, p.Remote, p.Data)
		r.handle(p.Remote.Addr(), ikev2.Datagram{Local: p.Remote, Remote: p.Local, Data: bytes.Clone(p.Data)})
	}
	return r
}

func (r *recorder) handle(at netip.Addr, in ikev2.Input) {
	r.t.Helper()
	var out ikev2.Outbox
	r.engines[at].Handle(r.now, in, &out)
	for _, e := range out.Effects {
		switch e := e.(type) {
		case ikev2.Send:
			e.Data = bytes.Clone(e.Data)
			r.wire = append(r.wire, e)
		case ikev2.KernelRequest:
			res := kernel.Result{Request: e.Request}
			switch op := e.Request.Op.(type) {
			case kernel.GetSPI:
				r.spi++
				res.SPI = r.spi
			case kernel.AddSA:
				if at == r.logger {
					op.SA.EncrKey, op.SA.IntegKey = bytes.Clone(op.SA.EncrKey), bytes.Clone(op.SA.IntegKey)
					r.sas = append(r.sas, op.SA)
				}
			}
			r.handle(at, ikev2.KernelResult{Result: res})
		case ikev2.Job:
			v, err := e.Run()
			r.handle(at, ikev2.JobDone{Serial: e.Serial, Value: v, Err: err})
		case ikev2.Route:
			r.handle(at, ikev2.Routed{Serial: e.Serial, Local: at})
		case ikev2.KeyLog:
			if at != r.logger {
				r.t.Error("an engine that was not asked reveals keys")
			}
			if err := r.log.write(e); err != nil {
				r.t.Fatal(err)
			}
		}
	}
}

// capture records an IKE message.
func (r *recorder) capture(from, to netip.AddrPort, data []byte) {
	udp := binary.BigEndian.AppendUint16(nil, from.Port())
	udp = binary.BigEndian.AppendUint16(udp, to.Port())
	udp = binary.BigEndian.AppendUint16(udp, uint16(8+len(data)))
	r.packet(from.Addr(), to.Addr(), syscall.IPPROTO_UDP, append(append(udp, 0, 0), data...))
}

// packet records an IPv4 packet.
func (r *recorder) packet(from, to netip.Addr, proto byte, data []byte) {
	p := ipv4(from, to, proto, data)
	for _, v := range []uint32{uint32(r.now.Unix()), 0, uint32(len(p)), uint32(len(p))} {
		_ = binary.Write(&r.pcap, binary.LittleEndian, v)
	}
	r.pcap.Write(p)
}

func ipv4(from, to netip.Addr, proto byte, data []byte) []byte {
	p := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, proto, 0, 0}
	binary.BigEndian.PutUint16(p[2:], uint16(20+len(data)))
	p = append(append(p, from.AsSlice()...), to.AsSlice()...)
	return append(p, data...)
}

// esp records a ping through the outbound SA.
func (r *recorder) esp() {
	r.t.Helper()
	for _, sa := range r.sas {
		if sa.Direction != kernel.Out {
			continue
		}
		c, err := transform.NewCipher(sa.Encr, sa.EncrKey, sa.Integ, sa.IntegKey)
		if err != nil {
			r.t.Fatal(err)
		}
		inner := ipv4(netip.MustParseAddr("10.0.1.7"), netip.MustParseAddr("10.0.2.9"), 1, append([]byte{8, 0, 0x91, 0x90, 0, 1, 0, 2}, "0123456789ab"...))
		block := max(4, c.BlockSize())
		pad := -(len(inner) + 2) & (block - 1)
		for i := range pad {
			inner = append(inner, byte(i+1))
		}
		inner = append(inner, byte(pad), 4)
		head := binary.BigEndian.AppendUint32(nil, uint32(sa.SPI))
		head = binary.BigEndian.AppendUint32(head, 1)
		sealed := c.Seal(bytes.Clone(head), make([]byte, c.IVSize()), inner, head, nil)
		r.packet(sa.Src, sa.Dst, 50, sealed)
		return
	}
	r.t.Fatal("no outbound SA")
}

// rows splits the file as a reader does.
func rows(t *testing.T, path string) (ike, esp []string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, `"IP`):
			esp = append(esp, line)
		default:
			ike = append(ike, line)
		}
	}
	return ike, esp
}

// Wireshark decrypts our own exchange, and the ESP of its child, with the rows of
// the key log, as files of its profile.
func TestKeyLogInWireshark(t *testing.T) {
	aead := ikev2.IKEProposal{Encr: []ikev2.Encryption{{ID: transform.ENCR_AES_GCM_16, KeyBits: 256}},
		PRF: []transform.PRF{transform.PRF_HMAC_SHA2_256}, KE: []transform.KE{transform.KE_CURVE25519}}
	cbc := ikev2.IKEProposal{Encr: []ikev2.Encryption{{ID: transform.ENCR_AES_CBC, KeyBits: 128}}, Integ: []transform.INTEG{transform.AUTH_HMAC_SHA2_256_128},
		PRF: aead.PRF, KE: aead.KE}
	for _, c := range []struct {
		name  string
		ike   ikev2.IKEProposal
		child ikev2.ChildProposal
	}{
		{"AEAD", aead, ikev2.ChildProposal{Protocol: kernel.ESP, Encr: []ikev2.Encryption{{ID: transform.ENCR_AES_GCM_16, KeyBits: 128}}}},
		{"CBC", cbc, ikev2.ChildProposal{Protocol: kernel.ESP, Encr: []ikev2.Encryption{{ID: transform.ENCR_AES_CBC, KeyBits: 256}}, Integ: []transform.INTEG{transform.AUTH_HMAC_SHA2_512_256}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			r := record(t, filepath.Join(dir, "keys"), c.ike, c.child)
			r.esp()
			ike, esp := rows(t, filepath.Join(dir, "keys"))
			if len(ike) != 1 || len(esp) != 2 {
				t.Fatalf("%d rows of IKE and %d of ESP:\n%v\n%v", len(ike), len(esp), ike, esp)
			}
			profile := filepath.Join(dir, "wireshark")
			write := func(name, text string) string {
				path := filepath.Join(profile, name)
				if err := os.MkdirAll(profile, 0o700); err == nil {
					err = os.WriteFile(path, []byte(text), 0o600)
					if err != nil {
						t.Fatal(err)
					}
				}
				return path
			}
			write("ikev2_decryption_table", ike[0]+"\n")
			write("esp_sa", strings.Join(esp, "\n")+"\n")
			capture := write("capture.pcap", r.pcap.String())
			cmd := exec.Command("tshark", "-n", "-r", capture, "-V", "-o", "esp.enable_encryption_decode:TRUE", "-o", "esp.enable_authentication_check:TRUE")
			cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "WIRESHARK_CONFIG_DIR="+profile)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			text := string(out)
			for _, want := range []string{
				"Payload: Identification - Initiator (35)", "host-192.0.2.1", "Payload: Identification - Responder (36)", "host-192.0.2.2",
				"Payload: Authentication (39)", "Payload: Traffic Selector - Initiator (44) # 1", "Decrypted Data",
				"Echo (ping) request", "Src: 10.0.1.7, Dst: 10.0.2.9",
			} {
				if !strings.Contains(text, want) {
					t.Errorf("tshark does not show %q", want)
				}
			}
			for _, bad := range []string{"incorrect", "Malformed", "UAT WARNING"} {
				if strings.Contains(text, bad) {
					t.Errorf("tshark says %q", bad)
				}
			}
			if t.Failed() {
				t.Log(text)
			}
		})
	}
}

// What Wireshark has no name for is a comment, so that it reads the rest.
func TestKeyLogOfUnknownAlgorithms(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	record(t, path, ikev2.IKEProposal{Encr: []ikev2.Encryption{{ID: transform.ENCR_CHACHA20_POLY1305}}, PRF: []transform.PRF{transform.PRF_HMAC_SHA2_256}, KE: []transform.KE{transform.KE_CURVE25519}},
		ikev2.ChildProposal{Protocol: kernel.AH, Integ: []transform.INTEG{transform.AUTH_HMAC_SHA2_256_128}})
	ike, esp := rows(t, path)
	data, _ := os.ReadFile(path)
	if len(ike)+len(esp) != 0 || strings.Count(string(data), "# Wireshark does not know") != 3 {
		t.Errorf("written:\n%s", data)
	}
}

// An SA with extended sequence numbers is marked, since a reader of the capture has to
// know; its row is like any other.
func TestKeyLogOfESN(t *testing.T) {
	for _, sn := range []transform.SN{transform.SN_32BIT, transform.SN_EXTENDED} {
		path := filepath.Join(t.TempDir(), "keys")
		record(t, path, ikev2.IKEProposal{Encr: []ikev2.Encryption{{ID: transform.ENCR_AES_GCM_16, KeyBits: 128}}, PRF: []transform.PRF{transform.PRF_HMAC_SHA2_256}, KE: []transform.KE{transform.KE_CURVE25519}},
			ikev2.ChildProposal{Protocol: kernel.ESP, Encr: []ikev2.Encryption{{ID: transform.ENCR_AES_GCM_16, KeyBits: 128}}, SN: []transform.SN{sn}})
		_, esp := rows(t, path)
		data, _ := os.ReadFile(path)
		marks := strings.Count(string(data), "# The next SA has 64-bit sequence numbers")
		if want := map[transform.SN]int{transform.SN_EXTENDED: 2}[sn]; len(esp) != 2 || marks != want {
			t.Errorf("%v: %d rows, %d of them marked, want %d\n%s", sn, len(esp), marks, want, data)
		}
	}
}

// The file is ours alone: no link is followed, nothing that others can read is
// written to, and what is there stays.
func TestKeyLogFile(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	k, err := openKeyLog(path("new"))
	if err != nil {
		t.Fatal(err)
	}
	k.close()
	info, err := os.Stat(path("new"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	before, _ := os.ReadFile(path("new"))
	if k, err = openKeyLog(path("new")); err != nil {
		t.Fatal(err)
	}
	if err := k.write(ikev2.KeyLog{IKE: &ikev2.IKEKeys{SPIi: 1, SPIr: 2, Encr: ikev2.Encryption{ID: transform.ENCR_AES_GCM_16, KeyBits: 128}}}); err != nil {
		t.Fatal(err)
	}
	k.close()
	after, _ := os.ReadFile(path("new"))
	if !bytes.HasPrefix(after, before) || bytes.Count(after, []byte("\n")) != bytes.Count(before, []byte("\n"))+1 {
		t.Errorf("appended to\n%s\ncame\n%s", before, after)
	}
	if err := os.Symlink(path("new"), path("link")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path("open"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(path("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"link": "symbolic link", "open": "others can reach", "fifo": "", "gone/file": "no such file"} {
		if _, err := openKeyLog(path(name)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := openKeyLog(dir); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder: %v", err)
	}
}

// An agent writes keys only where it was asked to, and says so in its log and its
// status; what it cannot write to keeps it from starting.
func TestKeyLogOfAgent(t *testing.T) {
	a, b := newPair(t)
	path := filepath.Join(a.dir, "keys")
	o := a.options()
	o.KeyLog = path
	var err error
	if a.agent, err = Start(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.stop)
	b.start()
	a.send(b)
	if ike, esp := rows(t, path); len(ike) != 1 || len(esp) != 2 {
		t.Errorf("rows\n%v\n%v", ike, esp)
	}
	if s := a.status(); !strings.Contains(strings.Join(s.Warnings, "\n"), path) {
		t.Errorf("warnings %v", s.Warnings)
	}
	if s := b.status(); strings.Contains(strings.Join(s.Warnings, "\n"), "keys") {
		t.Errorf("warnings %v", s.Warnings)
	}
	a.stop()
	log, err := os.ReadFile(filepath.Join(a.dir, "log"))
	if err != nil || !bytes.Contains(log, []byte(keyLogWarning)) {
		t.Errorf("the log does not warn: %v", err)
	}
	ike, esp := rows(t, path)
	for _, row := range append(ike, esp...) {
		for field := range strings.SplitSeq(row, ",") {
			if key := strings.Trim(strings.TrimPrefix(field, `"0x`), `"`); len(key) >= 32 && !strings.Contains(key, " ") && bytes.Contains(log, []byte(key)) {
				t.Error("a key stands in the log")
			}
		}
	}
	o = a.options()
	o.KeyLog = filepath.Join(a.dir, "log")
	if err := os.Chmod(o.KeyLog, 0o644); err != nil {
		t.Fatal(err)
	}
	if agent, err := Start(o); err == nil || !strings.Contains(err.Error(), "--keylog") {
		t.Errorf("started with %v", err)
		if agent != nil {
			agent.Abandon()
		}
	}
}
