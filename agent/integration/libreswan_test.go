//go:build linux

package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"racoon2/kernel/kerneltest/netlab"
)

const plutoPath = "/usr/libexec/ipsec/"

// libreSwan is a pluto daemon in a namespace of its own, with the kernel's ESP.
type libreSwan struct {
	t   *testing.T
	in  *netlab.NS
	dir string
	cmd *netlab.Cmd
}

// libreConn is one connection. Pluto's own timers are long: in these tests
// whoever rekeys is told to.
func libreConn(p *topology, ike, esp string) string {
	return fmt.Sprintf(`config setup
	logfile=/dev/stderr
conn peer
	ikev2=yes
	authby=secret
	left=%s
	leftid=@libre.example
	leftsubnet=%s
	leftupdown=%%disabled
	right=%s
	rightid=@racoon2.example
	rightsubnet=%s
	ike=%s
	esp=%s
	auto=add
`, p.right.outer, p.right.net, p.left.outer, p.left.net, ike, esp)
}

// startLibreSwan runs pluto and loads its connection.
func startLibreSwan(t *testing.T, in *netlab.NS, conn string) *libreSwan {
	t.Helper()
	l := &libreSwan{t: t, in: in, dir: t.TempDir()}
	l.write("ipsec.conf", conn)
	l.write("ipsec.secrets", fmt.Sprintf("@libre.example @racoon2.example : PSK \"%s\"\n", secret))
	l.run("certutil", "-N", "-d", "sql:"+l.dir, "--empty-password")
	l.cmd = in.Command(context.Background(), plutoPath+"pluto", "--nofork", "--stderrlog", "--config", l.path("ipsec.conf"),
		"--rundir", l.dir, "--nssdir", l.dir, "--ipsecdir", l.dir, "--secretsfile", l.path("ipsec.secrets"))
	log, err := os.Create(l.path("pluto.log"))
	must(t, err)
	l.cmd.Cmd.Stdout, l.cmd.Cmd.Stderr = log, log
	must(t, l.cmd.Start())
	log.Close()
	t.Cleanup(l.stop)
	waitFor(t, 60*time.Second, "pluto's control socket", func() bool {
		_, err := os.Stat(l.path("pluto.ctl"))
		return err == nil
	})
	l.whack("--listen")
	l.run(plutoPath+"addconn", "--config", l.path("ipsec.conf"), "--ctlsocket", l.path("pluto.ctl"), "peer")
	return l
}

func (l *libreSwan) path(name string) string { return filepath.Join(l.dir, name) }

func (l *libreSwan) write(name, text string) {
	l.t.Helper()
	must(l.t, os.WriteFile(l.path(name), []byte(text), 0o600))
}

func (l *libreSwan) run(name string, args ...string) string {
	l.t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		l.t.Fatalf("%s %s: %v\n%s\n%s", name, strings.Join(args, " "), err, out, l.log())
	}
	return string(out)
}

func (l *libreSwan) whack(args ...string) string {
	l.t.Helper()
	return l.run(plutoPath+"whack", append([]string{"--ctlsocket", l.path("pluto.ctl")}, args...)...)
}

func (l *libreSwan) log() string {
	b, _ := os.ReadFile(l.path("pluto.log"))
	return string(b)
}

func (l *libreSwan) stop() {
	_ = l.cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan struct{})
	go func() { _ = l.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		_ = l.cmd.Process.Kill()
		<-done
	}
	if l.t.Failed() {
		l.t.Logf("pluto's log:\n%s", l.log())
	}
}

// librePair is racoon2 on left and libreswan on right.
type librePair struct {
	*topology
	r *racoon2
	l *libreSwan
}

func newLibrePair(t *testing.T, family, ike, esp string, su suite) *librePair {
	t.Helper()
	p := &librePair{topology: newTopology(t, family, false)}
	p.r = newRacoon2(t, p.left.ns, peerConfig{
		MyID: "racoon2.example", PeerID: "libre.example", Mode: "tunnel", Secret: secret,
		MyAddr: p.left.outer.String(), PeerAddr: p.right.outer.String(),
		MyNet: p.left.net, PeerNet: p.right.net, IKE: su.conf, ESP: su.sa,
	})
	p.r.start()
	p.l = startLibreSwan(t, p.right.ns, libreConn(p.topology, ike, esp))
	return p
}

// pingBoth pings from either side.
func (p *librePair) pingBoth(t *testing.T, limit time.Duration) {
	t.Helper()
	ping(t, p.left, p.left.inner, p.right.inner, limit)
	ping(t, p.right, p.right.inner, p.left.inner, limit)
}

// none waits until neither side has an SA.
func (p *librePair) none(t *testing.T) {
	t.Helper()
	waitFor(t, 60*time.Second, "both sides to have no SA", func() bool {
		return len(p.r.status().IKESAs) == 0 && strings.TrimSpace(p.l.whack("--briefstatus")) != "" &&
			strings.Contains(p.l.whack("--briefstatus"), "total(0)")
	})
}

// child is the inbound SPI of the only child, "" when there is not one.
func (p *librePair) child() string {
	if s := p.r.status(); len(s.IKESAs) == 1 && len(s.IKESAs[0].Children) == 1 {
		return s.IKESAs[0].Children[0].SPIIn
	}
	return ""
}

// rekeyed waits until another child than before is the only one, and pings.
func (p *librePair) rekeyed(t *testing.T, before string) {
	t.Helper()
	waitFor(t, 60*time.Second, "a new child in the place of "+before, func() bool {
		now := p.child()
		return now != "" && now != before
	})
	p.pingBoth(t, 30*time.Second)
}

// libreswan's suites, and the same in racoon2's words. It wants a key exchange in
// every rekeying.
var libreSuites = []struct {
	name, ike, esp string
	ours           suite
}{
	{"gcm", "aes_gcm256-sha2_256-dh31", "aes_gcm256", suite{
		conf: "kmp_enc_alg { aes_gcm,256; }; kmp_prf_alg { hmac_sha2_256; }; kmp_dh_group { curve25519; }; need_pfs on;",
		sa:   "esp_enc_alg { aes_gcm,256; };",
	}},
	{"cbc", "aes128-sha2_256-modp2048", "aes128-sha2_256", suite{
		conf: "kmp_enc_alg { aes128_cbc; }; kmp_prf_alg { hmac_sha2_256; }; kmp_hash_alg { hmac_sha2_256; }; kmp_dh_group { modp2048; }; need_pfs on;",
		sa:   "esp_enc_alg { aes128_cbc; }; esp_auth_alg { hmac_sha2_256; };",
	}},
}

// Either side brings the tunnel up, rekeys it and ends it; ESP is the kernel's
// on both (xfrm). It all happens in the virtual machine: pluto needs a kernel
// with ESP.
func TestLibreswan(t *testing.T) {
	needRoot(t)
	if os.Getenv(envBinary) == "" {
		out := inVM(t, 600, "libreswan libnss3-tools", "^TestLibreswan$")
		if n := strings.Count(out, "--- PASS: TestLibreswan/"); n != 2*len(libreSuites) {
			t.Errorf("%d of %d tunnels were tried in the virtual machine:\n%s", n, 2*len(libreSuites), out)
		}
		return
	}
	for _, family := range []string{"v4", "v6"} {
		for _, su := range libreSuites {
			t.Run(family+" "+su.name, func(t *testing.T) {
				p := newLibrePair(t, family, su.ike, su.esp, su.ours)
				w := p.watch(t)

				ping(t, p.left, p.left.inner, p.right.inner, 60*time.Second)
				w.wantESP(netlab.ESP, 2)
				before := p.child()
				p.l.whack("--rekey-ipsec", "--name", "peer")
				p.rekeyed(t, before)
				p.l.whack("--rekey-ike", "--name", "peer")
				p.pingBoth(t, 30*time.Second)
				p.l.whack("--terminate", "--name", "peer")
				p.none(t)

				p.l.whack("--initiate", "--name", "peer")
				p.pingBoth(t, 60*time.Second)
				before = p.child()
				p.r.mustCtl("sa", "rekey", before)
				p.rekeyed(t, before)
				// A connection that pluto was told to initiate has to stay up: it comes again.
				p.r.mustCtl("sa", "flush")
				waitFor(t, 60*time.Second, "pluto to notice the deletion", func() bool {
					return strings.Contains(p.l.log(), "received a Delete/Notify but must remain up")
				})
				p.pingBoth(t, 60*time.Second)
				p.l.whack("--terminate", "--name", "peer")
				p.none(t)
				w.wantNoClear()
			})
		}
	}
}
