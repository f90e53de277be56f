package kerberos

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"racoon2/kink"
)

// mit is a KDC of MIT Kerberos on loopback for two realms that trust one another.
type mit struct {
	dir  string
	port int
	conf *Krb5Conf
}

const mitTypes = "aes256-cts-hmac-sha1-96:normal,aes256-cts-hmac-sha384-192:normal,aes128-cts-hmac-sha256-128:normal,aes128-cts-hmac-sha1-96:normal"

// newMIT starts the KDC; the test is skipped where MIT's is not installed.
func newMIT(t *testing.T) *mit {
	t.Helper()
	for _, tool := range []string{"krb5kdc", "kdb5_util", "kadmin.local"} {
		if _, err := findTool(tool); err != nil {
			t.Skipf("%s is not installed (Debian: krb5-kdc, krb5-admin-server); the test needs MIT's KDC", tool)
		}
	}
	m := &mit{dir: t.TempDir(), port: freePort(t)}
	m.write(t, "krb5.conf", fmt.Sprintf(`[libdefaults]
	default_realm = ONE.TEST
	dns_lookup_kdc = false
	dns_lookup_realm = false
	rdns = false
[realms]
	ONE.TEST = {
		kdc = 127.0.0.1:%[1]d
	}
	TWO.TEST = {
		kdc = 127.0.0.1:%[1]d
	}
`, m.port))
	realm := func(name string) string {
		return fmt.Sprintf(`	%s = {
		database_name = %s/%s
		key_stash_file = %s/%s.stash
		supported_enctypes = %s
		max_life = 10h
	}
`, name, m.dir, name, m.dir, name, mitTypes)
	}
	m.write(t, "kdc.conf", fmt.Sprintf("[kdcdefaults]\n\tkdc_listen = 127.0.0.1:%[1]d\n\tkdc_tcp_listen = 127.0.0.1:%[1]d\n[realms]\n%[2]s%[3]s[logging]\n\tkdc = FILE:%[4]s/kdc.log\n",
		m.port, realm("ONE.TEST"), realm("TWO.TEST"), m.dir))
	for _, r := range []string{"ONE.TEST", "TWO.TEST"} {
		m.run(t, "kdb5_util", "create", "-r", r, "-s", "-P", "master")
		m.kadmin(t, r, "addprinc -pw cross krbtgt/TWO.TEST@ONE.TEST")
	}
	for _, p := range []string{"kink/a.one.test", "kink/b.one.test", "kink/short.one.test"} {
		m.kadmin(t, "ONE.TEST", "addprinc +requires_preauth -randkey "+p)
	}
	m.kadmin(t, "ONE.TEST", "modprinc -maxlife 30seconds kink/short.one.test")
	m.kadmin(t, "TWO.TEST", "addprinc -randkey kink/c.two.test")
	m.kadmin(t, "ONE.TEST", "ktadd -k "+m.path("a.keytab")+" kink/a.one.test kink/short.one.test")
	m.kadmin(t, "ONE.TEST", "ktadd -k "+m.path("b.keytab")+" kink/b.one.test")
	m.kadmin(t, "TWO.TEST", "ktadd -k "+m.path("c.keytab")+" kink/c.two.test")
	m.start(t)
	var err error
	if m.conf, err = LoadKrb5Conf(m.path("krb5.conf")); err != nil {
		t.Fatal(err)
	}
	return m
}

func findTool(name string) (string, error) {
	if p, err := exec.LookPath(name); err == nil {
		return p, nil
	}
	return exec.LookPath("/usr/sbin/" + name)
}

// freePort is a port of loopback that neither UDP nor TCP uses. It is below those that
// the system gives to other tests' connections meanwhile.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", 10000+mathrand.IntN(20000)))
		if err != nil {
			continue
		}
		pc, err := net.ListenPacket("udp4", l.Addr().String())
		l.Close()
		if err == nil {
			pc.Close()
			return l.Addr().(*net.TCPAddr).Port
		}
	}
	t.Fatal("no port is free for UDP and TCP")
	return 0
}

func (m *mit) path(name string) string { return filepath.Join(m.dir, name) }

func (m *mit) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(m.path(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (m *mit) command(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := findTool(name)
	if err != nil {
		t.Skipf("%s is not installed (Debian: krb5-user)", name)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "KRB5_CONFIG="+m.path("krb5.conf"), "KRB5_KDC_PROFILE="+m.path("kdc.conf"), "LC_ALL=C", "KRB5CCNAME=FILE:"+m.path("ccache"))
	return cmd
}

func (m *mit) run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := m.command(t, name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func (m *mit) kadmin(t *testing.T, realm, query string) {
	t.Helper()
	if out := m.run(t, "kadmin.local", "-r", realm, "-q", query); strings.Contains(out, "kadmin.local: ") {
		t.Fatalf("%s: %s", query, out)
	}
}

// start runs the KDC in the foreground until the test ends, and waits until it listens.
func (m *mit) start(t *testing.T) {
	t.Helper()
	cmd := m.command(t, "krb5kdc", "-n", "-r", "ONE.TEST", "-r", "TWO.TEST")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for range 200 {
		c, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", m.port))
		if err == nil {
			c.Close()
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatal("the KDC does not listen")
}

// host makes a Host with principals and a keytab of the KDC's.
func (m *mit) host(t *testing.T, keytab string, principals ...string) *Host {
	t.Helper()
	h, err := New(Config{
		Principals: principals, Keytab: m.path(keytab), Rand: rand.Reader,
		Start: time.Now().Add(-time.Hour), KDC: &Network{Conf: m.conf},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

const (
	mitA     = "kink/a.one.test@ONE.TEST"
	mitB     = "kink/b.one.test@ONE.TEST"
	mitC     = "kink/c.two.test@TWO.TEST"
	mitShort = "kink/short.one.test@ONE.TEST"
)

// handshake takes a ticket through AP-REQ and AP-REP.
func handshake(t *testing.T, k kink.Ticket, server *Host, now time.Time) kink.ServerSession {
	t.Helper()
	octets, c, err := k.APReq(now, 0, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.Accept(now, octets, source)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(now); err != nil {
		t.Fatal(err)
	}
	rep, err := s.APRep(now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.VerifyAPRep(rep); err != nil {
		t.Fatal(err)
	}
	if s.Peer() != k.Local() || s.Local() != k.Peer() || !bytes.Equal(c.PRF([]byte("x")), s.PRF([]byte("x"))) {
		t.Errorf("the sessions differ: %s ↔ %s", s.Local(), s.Peer())
	}
	return s
}

// TestMIT runs against one KDC: making its databases takes a second or two.
func TestMIT(t *testing.T) {
	m := newMIT(t)
	t.Run("service ticket", func(t *testing.T) { testMITService(t, m) })
	t.Run("TCP", func(t *testing.T) {
		conf := *m.conf
		conf.UDPLimit = 0
		a := m.host(t, "a.keytab", mitA)
		a.conf.KDC = &Network{Conf: &conf}
		if _, err := a.Fetch(context.Background(), time.Now(), rand.Reader, kink.FetchTicket{Local: mitA, Peer: mitB}); err != nil {
			t.Error(err)
		}
	})
	t.Run("each type", func(t *testing.T) { testMITTypes(t, m) })
	t.Run("user-to-user", func(t *testing.T) { testMITUserToUser(t, m) })
	t.Run("cross-realm", func(t *testing.T) {
		a, c := m.host(t, "a.keytab", mitA), m.host(t, "c.keytab", mitC)
		now := time.Now()
		for range 2 { // the second from the caches
			k, err := a.Fetch(context.Background(), now, rand.Reader, kink.FetchTicket{Local: mitA, Peer: mitC})
			if err != nil {
				t.Fatal(err)
			}
			handshake(t, k, c, now)
		}
		if _, err := a.Fetch(context.Background(), now, rand.Reader, kink.FetchTicket{Local: mitA, Peer: "kink/x@THREE.TEST"}); err == nil {
			t.Error("a realm that nobody knows gives a ticket")
		}
	})
	t.Run("clock", func(t *testing.T) { testMITClock(t, m) })
	t.Run("expired", func(t *testing.T) { testMITExpired(t, m) })
	t.Run("refresh", func(t *testing.T) { testMITRefresh(t, m) })
	t.Run("library", func(t *testing.T) { testMITLibrary(t, m) })
	t.Run("check", func(t *testing.T) { testMITCheck(t, m) })
	t.Run("errors", func(t *testing.T) { testMITErrors(t, m) })
	t.Run("credential cache", func(t *testing.T) {
		m.run(t, "kinit", "-k", "-t", m.path("a.keytab"), mitA)
		a := m.host(t, "b.keytab", mitA) // has no key of a
		a.conf.CCache = m.path("ccache")
		now := time.Now()
		k, err := a.Fetch(context.Background(), now, rand.Reader, kink.FetchTicket{Local: mitA, Peer: mitB})
		if err != nil {
			t.Fatal(err)
		}
		handshake(t, k, m.host(t, "b.keytab", mitB), now)
	})
	t.Run("rotated KDC key", func(t *testing.T) { testMITRotatedKDC(t, m) })
	t.Run("rotated keytab", func(t *testing.T) { testMITRotated(t, m) }) // last: it changes b's key
}

func testMITService(t *testing.T, m *mit) {
	a, b := m.host(t, "a.keytab", mitA), m.host(t, "b.keytab", mitB)
	now := time.Now()
	next, err := a.Maintain(context.Background(), now, rand.Reader)
	if err != nil || !next.After(now) {
		t.Fatalf("%v, %v", next, err)
	}
	k, err := a.Fetch(context.Background(), now, rand.Reader, kink.FetchTicket{Local: mitA, Peer: mitB, Until: now.Add(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	if s := handshake(t, k, b, now); s.EType() != int32(AES256_CTS_HMAC_SHA1_96) || s.UserToUser() {
		t.Errorf("etype %d", s.EType())
	}
	fetch := func(f kink.FetchTicket) kink.Ticket {
		t.Helper()
		f.Local, f.Peer = mitA, mitB
		k, err := a.Fetch(context.Background(), now, rand.Reader, f)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	if fetch(kink.FetchTicket{}) != k {
		t.Error("the ticket does not come from the cache")
	}
	if fetch(kink.FetchTicket{Evict: true}) == k {
		t.Error("a refused ticket is given out again")
	}
	if _, err := a.Fetch(context.Background(), now, rand.Reader, kink.FetchTicket{Local: mitA, Peer: mitB, Until: now.Add(48 * time.Hour)}); codeOf(t, err) != kink.KRB_AP_ERR_TKT_EXPIRED {
		t.Errorf("a ticket for two days: %v", err)
	}
}

func testMITTypes(t *testing.T, m *mit) {
	b := m.host(t, "b.keytab", mitB)
	for _, e := range DefaultETypes() {
		a := m.host(t, "a.keytab", mitA)
		a.conf.ETypes = []EType{e}
		now := time.Now()
		k, err := a.Fetch(context.Background(), now, rand.Reader, kink.FetchTicket{Local: mitA, Peer: mitB})
		if err != nil {
			t.Fatalf("%v: %v", e, err)
		}
		if s := handshake(t, k, b, now); s.EType() != int32(e) {
			t.Errorf("%v: the session has etype %d", e, s.EType())
		}
	}
}

func testMITUserToUser(t *testing.T, m *mit) {
	a, b := m.host(t, "a.keytab", mitA), m.host(t, "b.keytab", mitB)
	now := time.Now()
	if _, err := b.Maintain(context.Background(), now, rand.Reader); err != nil {
		t.Fatal(err)
	}
	tgt, err := b.TGT(now, mitB)
	if err != nil {
		t.Fatal(err)
	}
	f := kink.FetchTicket{Local: mitA, Peer: mitB, TGT: tgt}
	k, err := a.Fetch(context.Background(), now, rand.Reader, f)
	if err != nil {
		t.Fatal(err)
	}
	if s := handshake(t, k, b, now); !s.UserToUser() || !k.UserToUser() {
		t.Error("the session does not know that it is user-to-user")
	}
	if again, err := a.Fetch(context.Background(), now, rand.Reader, f); err != nil || again != k {
		t.Errorf("not from the cache: %v", err)
	}
	plain, err := a.Fetch(context.Background(), now, rand.Reader, kink.FetchTicket{Local: mitA, Peer: mitB})
	if err != nil || plain.UserToUser() {
		t.Errorf("a user-to-user ticket serves as a plain one (%v)", err)
	}
	// b starts anew: the ticket is under a TGT that it no longer has.
	restarted := m.host(t, "b.keytab", mitB)
	if _, err := restarted.Maintain(context.Background(), now, rand.Reader); err != nil {
		t.Fatal(err)
	}
	octets, _, _ := k.APReq(now, 0, rand.Reader)
	_, err = restarted.Accept(now, octets, source)
	if lost, ok := err.(*kink.KRBError); !ok || !lost.LostTGT {
		t.Errorf("after b's restart: %v", err)
	}
	// The TGT of a is not b's: the KDC says so.
	wrong, err := a.TGT(now, mitA)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Fetch(context.Background(), now, rand.Reader, kink.FetchTicket{Local: mitA, Peer: mitB, TGT: wrong}); err == nil {
		t.Error("somebody else's TGT gives a ticket")
	}
	if _, err := a.Fetch(context.Background(), now, rand.Reader, kink.FetchTicket{Local: mitA, Peer: mitB, TGT: k.(*ticket).raw}); codeOf(t, err) != kink.KRB_AP_ERR_BADMATCH {
		t.Errorf("a service ticket as TGT: %v", err)
	}
}

// This host's clock is 20 minutes behind: the KDC's time is taken, and peers agree.
func testMITClock(t *testing.T, m *mit) {
	a, b := m.host(t, "a.keytab", mitA), m.host(t, "b.keytab", mitB)
	now := time.Now()
	for _, offset := range []time.Duration{-20 * time.Minute, 20 * time.Minute} {
		k, err := a.Fetch(context.Background(), now.Add(offset), rand.Reader, kink.FetchTicket{Local: mitA, Peer: mitB, Evict: true})
		if err != nil {
			t.Fatal(err)
		}
		octets, _, err := k.APReq(now.Add(offset), 0, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Accept(now, octets, source); err != nil {
			t.Errorf("a clock that is %v off: %v", offset, err)
		}
		a = m.host(t, "a.keytab", mitA)
	}
}

func testMITExpired(t *testing.T, m *mit) {
	a, b := m.host(t, "a.keytab", mitA, mitShort), m.host(t, "b.keytab", mitB)
	now := time.Now()
	k, err := a.Fetch(context.Background(), now, rand.Reader, kink.FetchTicket{Local: mitShort, Peer: mitB})
	if err != nil {
		t.Fatal(err)
	}
	if life := k.Expires().Sub(now); life > 31*time.Second {
		t.Fatalf("the ticket lasts %v", life)
	}
	later := now.Add(6 * time.Minute)
	octets, c, err := k.APReq(later, 0, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := b.Accept(later, octets, source)
	if codeOf(t, err) != kink.KRB_AP_ERR_TKT_EXPIRED || s == nil {
		t.Fatalf("%v", err)
	}
	sum, _ := s.MIC([]byte("x"))
	if c.VerifyMIC([]byte("x"), sum) != nil {
		t.Error("the error cannot be authenticated")
	}
}

// A TGT is replaced before it ends; the one before stays for user-to-user tickets, and
// a KDC that is down does no harm as long as the TGT lasts.
func testMITRefresh(t *testing.T, m *mit) {
	a := m.host(t, "a.keytab", mitShort)
	now := time.Now()
	next, err := a.Maintain(context.Background(), now, rand.Reader)
	if err != nil || next.After(now.Add(16*time.Second)) {
		t.Fatalf("next %v, %v", next.Sub(now), err)
	}
	first := a.account(mitShort).current()
	later := now.Add(20 * time.Second)
	kdc := a.conf.KDC
	a.conf.KDC = &stubKDC{}
	if got, err := a.login(context.Background(), later, rand.Reader, a.account(mitShort)); err != nil || got != first {
		t.Errorf("with the KDC down: %v", err)
	}
	a.conf.KDC = kdc
	if _, err := a.Maintain(context.Background(), later, rand.Reader); err != nil {
		t.Fatal(err)
	}
	if tgts := a.account(mitShort).tgts(); len(tgts) != 2 || tgts[0] == first || tgts[1] != first {
		t.Errorf("%d TGTs", len(tgts))
	}
	a.conf.KDC = &stubKDC{}
	if _, err := a.login(context.Background(), now.Add(time.Hour), rand.Reader, a.account(mitShort)); err == nil {
		t.Error("a TGT that ended long ago serves")
	}
}

// Check says what is wrong, and stops there.
func testMITCheck(t *testing.T, m *mit) {
	a := m.host(t, "a.keytab", mitA)
	check := func(h *Host, name string) (last Finding, n int) {
		for _, f := range h.Check(context.Background(), time.Now(), rand.Reader, name) {
			last = f
			n++
			if !f.OK {
				break
			}
		}
		return last, n
	}
	if f, n := check(a, mitA); !f.OK || n != 4 {
		t.Errorf("%d findings, the last %+v", n, f)
	}
	if f, _ := check(a, mitB); f.OK || !strings.Contains(f.Text, "not a principal of this host") {
		t.Errorf("%+v", f)
	}
	if f, _ := check(m.host(t, "a.keytab", mitB), mitB); f.OK || !strings.Contains(f.Text, "no key of "+mitB) {
		t.Errorf("%+v", f)
	}
	if f, _ := check(m.host(t, "none.keytab", mitB), mitB); f.OK || !strings.Contains(f.Text, "no such file") {
		t.Errorf("%+v", f)
	}
	now := time.Now()
	if _, err := a.Fetch(context.Background(), now, rand.Reader, kink.FetchTicket{Local: mitA, Peer: mitB}); err != nil {
		t.Fatal(err)
	}
	info := a.Status(now)
	if len(info) != 1 || !info[0].TGTEnd.After(now) || len(info[0].Tickets) != 1 || info[0].Tickets[0].Peer != mitB || len(info[0].KeyVersions) == 0 {
		t.Errorf("%+v", info)
	}
}

func testMITErrors(t *testing.T, m *mit) {
	now := time.Now()
	a := m.host(t, "a.keytab", mitA)
	_, err := a.Fetch(context.Background(), now, rand.Reader, kink.FetchTicket{Local: mitA, Peer: "kink/nobody.one.test@ONE.TEST"})
	if codeOf(t, err) != kink.KDC_ERR_S_PRINCIPAL_UNKNOWN {
		t.Errorf("an unknown service: %v", err)
	}
	if _, err = a.Fetch(context.Background(), now, rand.Reader, kink.FetchTicket{Local: mitB, Peer: mitA}); codeOf(t, err) != kink.KRB_AP_ERR_NOT_US {
		t.Errorf("another host's name: %v", err)
	}
	b := m.host(t, "a.keytab", mitB)
	if _, err = b.Fetch(context.Background(), now, rand.Reader, kink.FetchTicket{Local: mitB, Peer: mitA}); codeOf(t, err) != kink.KRB_AP_ERR_NOKEY {
		t.Errorf("no key: %v", err)
	}
	// A keytab with another key than the KDC's.
	p, _ := ParsePrincipal(mitB)
	writeKeytab(t, m.path("wrong.keytab"), keytabEntry{principal: p, kvno: 2, key: testKey(t, AES256_CTS_HMAC_SHA1_96, 1)})
	w := m.host(t, "wrong.keytab", mitB)
	if _, err = w.Maintain(context.Background(), now, rand.Reader); err == nil || !strings.Contains(err.Error(), "another key than the KDC") {
		t.Errorf("a wrong key: %v", err)
	}
	writeKeytab(t, m.path("unknown.keytab"), keytabEntry{principal: hostB, kvno: 2, key: testKey(t, AES256_CTS_HMAC_SHA1_96, 1)})
	u := m.host(t, "unknown.keytab", hostB.String())
	if _, err = u.Maintain(context.Background(), now, rand.Reader); err == nil || !strings.Contains(err.Error(), "no KDC of EXAMPLE.COM is found") {
		t.Errorf("an unknown realm: %v", err)
	}
}

// The KDC changes its own key and forgets the old one: the TGT is replaced, but not one
// that is a few seconds old.
func testMITRotatedKDC(t *testing.T, m *mit) {
	a := m.host(t, "a.keytab", mitA)
	now := time.Now()
	f := kink.FetchTicket{Local: mitA, Peer: mitB}
	if _, err := a.Fetch(context.Background(), now, rand.Reader, f); err != nil {
		t.Fatal(err)
	}
	m.kadmin(t, "ONE.TEST", "cpw -randkey krbtgt/ONE.TEST")
	f.Evict = true
	if _, err := a.Fetch(context.Background(), now, rand.Reader, f); err == nil {
		t.Error("the KDC takes a TGT under a key that it forgot")
	}
	if _, err := a.Fetch(context.Background(), now.Add(2*youngTGT), rand.Reader, f); err != nil {
		t.Errorf("a new TGT: %v", err)
	}
}

// b's key is changed at the KDC: the file is read again, and old tickets stay good.
func testMITRotated(t *testing.T, m *mit) {
	a, b := m.host(t, "a.keytab", mitA), m.host(t, "b.keytab", mitB)
	now := time.Now()
	old, err := a.Fetch(context.Background(), now, rand.Reader, kink.FetchTicket{Local: mitA, Peer: mitB})
	if err != nil {
		t.Fatal(err)
	}
	handshake(t, old, b, now)
	m.kadmin(t, "ONE.TEST", "ktadd -k "+m.path("new.keytab")+" kink/b.one.test")
	fresh, err := a.Fetch(context.Background(), now, rand.Reader, kink.FetchTicket{Local: mitA, Peer: mitB, Evict: true})
	if err != nil {
		t.Fatal(err)
	}
	later := now.Add(2 * lookAgain)
	octets, _, _ := fresh.APReq(later, 0, rand.Reader)
	if _, err := b.Accept(later, octets, source); codeOf(t, err) != kink.KRB_AP_ERR_BADKEYVER {
		t.Errorf("before the keytab is changed: %v", err)
	}
	// ktadd into the same file keeps the old keys.
	merged := append(readFile(t, m.path("b.keytab")), readFile(t, m.path("new.keytab"))[2:]...)
	if err := os.WriteFile(m.path("b.keytab"), merged, 0o600); err != nil {
		t.Fatal(err)
	}
	later = later.Add(2 * lookAgain)
	handshake(t, fresh, b, later)
	handshake(t, old, b, later)
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
