//go:build linux

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"racoon2/agent"
	"racoon2/kernel/kerneltest/netlab"
)

// What a run inside the virtual machine is told by its environment.
const (
	envBinary = "RACOON2_TEST_BINARY" // the program to test; built when not set
	envKernel = "RACOON2_TEST_KERNEL" // the backend; userspace when not set
)

// backend is the kernel backend that the agents of these tests run on.
func backend() string {
	if name := os.Getenv(envKernel); name != "" {
		return name
	}
	return "userspace"
}

// program builds racoon2 once for all tests of the package.
var program = sync.OnceValues(func() (string, error) {
	if path := os.Getenv(envBinary); path != "" {
		return path, nil
	}
	dir, err := os.MkdirTemp("", "racoon2-integration-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "racoon2")
	cmd := exec.Command("go", "build", "-o", path, "racoon2")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	if off := os.Getenv(envClock); off != "" {
		os.Exit(runShifted(off, os.Args[1:]))
	}
	code := m.Run()
	if path, err := program(); err == nil && os.Getenv(envBinary) == "" {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: it makes network namespaces")
	}
}

// racoon2 is one process of the product in a namespace of its own.
type racoon2 struct {
	t      *testing.T
	in     *netlab.NS
	dir    string
	config string
	conf   peerConfig
	text   string // the configuration, instead of what conf makes
	level  string // of the log
	binary string // instead of the product's program
	env    []string
	args   []string // further ones of "run"
	cmd    *netlab.Cmd
	ended  chan error
}

// peerConfig is what differs between the configurations of these tests.
type peerConfig struct {
	MyID, PeerID     string
	MyAddr, PeerAddr string
	MyNet, PeerNet   string // traffic selectors
	Mode             string // tunnel or transport
	Roaming          bool   // the tunnel ends where the IKE SA does
	Proto            string // upper layer protocol; "" is any
	Secret           string
	IKE              string // further lines of the ikev2 block
	ESP              string // lines of an sa section; "" takes the defaults
	IPsec            string // further lines of the ipsec section
	Policy           string // further lines of the policy
	Sections         string // further sections
	AnyPeer          bool   // requests from any address are looked at

	PPK map[string]string // post-quantum keys by ppk_id
}

func (c peerConfig) render(psk string) string {
	var b strings.Builder
	proto := ""
	if c.Proto != "" {
		proto = "upper_layer_protocol " + c.Proto + ";"
	}
	peers := c.PeerAddr
	if c.AnyPeer {
		peers = "{ " + c.PeerAddr + "; IP_ANY; }"
	}
	fmt.Fprintf(&b, `remote peer {
	acceptable_kmp { ikev2; };
	ikev2 {
		my_id fqdn "%s";
		peers_id fqdn "%s";
		peers_ipaddr %s;
		pre_shared_key "%s";
		%s
	};
};
selector out {
	direction outbound;
	src %s;
	dst %s;
	%s
	policy_index protect;
};
selector in {
	direction inbound;
	src %s;
	dst %s;
	%s
	policy_index protect;
};
policy protect {
	action auto_ipsec;
	remote_index peer;
	ipsec_mode %s;
`, c.MyID, c.PeerID, peers, psk, c.IKE, c.MyNet, c.PeerNet, proto, c.PeerNet, c.MyNet, proto, c.Mode)
	if c.Mode == "tunnel" && !c.Roaming {
		fmt.Fprintf(&b, "\tmy_sa_ipaddr %s;\n\tpeers_sa_ipaddr %s;\n", c.MyAddr, c.PeerAddr)
	}
	bundle := ""
	if c.ESP != "" {
		bundle = "sa_index esp;"
	}
	if bundle += c.IPsec; bundle != "" {
		b.WriteString("\tipsec_index esp;\n")
	}
	b.WriteString(c.Policy)
	b.WriteString("};\n")
	if bundle != "" {
		fmt.Fprintf(&b, "ipsec esp { %s };\n", bundle)
	}
	if c.ESP != "" {
		fmt.Fprintf(&b, "sa esp { sa_protocol esp; %s };\n", c.ESP)
	}
	b.WriteString(c.Sections)
	return b.String()
}

// newRacoon2 writes the configuration and its key; start runs it.
func newRacoon2(t *testing.T, in *netlab.NS, conf peerConfig) *racoon2 {
	t.Helper()
	r := &racoon2{t: t, in: in, dir: t.TempDir(), conf: conf, level: "debug"}
	r.config = filepath.Join(r.dir, "racoon2.conf")
	r.configure()
	return r
}

// configure writes the configuration as conf has it now.
func (r *racoon2) configure() {
	r.t.Helper()
	if r.text != "" {
		r.write("racoon2.conf", r.text)
		return
	}
	r.write("peer.psk", r.conf.Secret)
	for id, key := range r.conf.PPK {
		if err := os.MkdirAll(filepath.Join(r.dir, "ppk"), 0o700); err != nil {
			r.t.Fatal(err)
		}
		r.write(filepath.Join("ppk", id+".bin"), key)
	}
	r.write("racoon2.conf", r.conf.render(filepath.Join(r.dir, "peer.psk")))
}

func (r *racoon2) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// start runs the agent and waits until it answers.
func (r *racoon2) start() {
	r.t.Helper()
	path, err := program()
	if err != nil {
		r.t.Fatal(err)
	}
	if r.binary != "" {
		path = r.binary
	}
	args := []string{"run", "-c", r.config, "--run-dir", filepath.Join(r.dir, "run"), "--log-level", r.level, "--kernel", backend()}
	r.cmd = r.in.Command(context.Background(), path, append(args, r.args...)...)
	log, err := os.OpenFile(filepath.Join(r.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		r.t.Fatal(err)
	}
	r.cmd.Stdout, r.cmd.Stderr = log, log
	r.cmd.Env = append(os.Environ(), r.env...)
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	log.Close()
	ended, cmd := make(chan error, 1), r.cmd
	r.ended = ended
	go func() { ended <- cmd.Wait() }()
	r.t.Cleanup(func() {
		r.kill(syscall.SIGTERM)
		if r.t.Failed() {
			r.t.Logf("log of %s:\n%s", r.config, r.log())
		}
	})
	waitFor(r.t, 20*time.Second, "racoon2 to answer", func() bool {
		select {
		case err := <-ended:
			ended <- err
			r.t.Fatalf("racoon2 ended: %v\n%s", err, r.log())
		default:
		}
		_, err := r.ctl("status", "--json")
		return err == nil
	})
}

// kill ends the process with a signal and waits for it.
func (r *racoon2) kill(sig syscall.Signal) {
	if r.cmd == nil {
		return
	}
	_ = r.cmd.Process.Signal(sig)
	select {
	case <-r.ended:
	case <-time.After(15 * time.Second):
		_ = r.cmd.Process.Kill()
		<-r.ended
		r.t.Errorf("racoon2 did not end within 15 s of %v", sig)
	}
	r.cmd = nil
}

func (r *racoon2) log() string {
	b, _ := os.ReadFile(filepath.Join(r.dir, "log"))
	return string(b)
}

// ctl runs a client command and returns its standard output.
func (r *racoon2) ctl(args ...string) (string, error) {
	path, err := program()
	if err != nil {
		return "", err
	}
	args = append(args, "--socket", filepath.Join(r.dir, "run", "spmif"))
	cmd := r.in.Command(context.Background(), path, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("racoon2 %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), nil
}

func (r *racoon2) mustCtl(args ...string) string {
	r.t.Helper()
	out, err := r.ctl(args...)
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// status is what "racoon2 status --json" prints.
func (r *racoon2) status() agent.Status {
	r.t.Helper()
	var s agent.Status
	if err := json.Unmarshal([]byte(r.mustCtl("status", "--json")), &s); err != nil {
		r.t.Fatal(err)
	}
	return s
}
