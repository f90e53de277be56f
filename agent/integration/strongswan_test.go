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

const charonPath = "/usr/lib/ipsec/charon"

// strongSwan is a charon daemon in a namespace of its own: in the virtual machine
// with the kernel's IPsec, elsewhere with kernel-libipsec (ESP in its own process,
// always in UDP, tunnel mode only).
type strongSwan struct {
	t   *testing.T
	dir string
	cmd *netlab.Cmd
}

// strongSwanConf is the daemon's own configuration. The mark keeps charon's own
// packets out of the routes that kernel-libipsec makes.
const strongSwanConf = `charon {
  %s
  load_modular = no
  load = random nonce openssl aes sha1 sha2 hmac gcm ccm ctr cmac xcbc chapoly curve25519 gmp kdf %s socket-default vici
  filelog {
    stderr {
      default = 1
      ike = 2
      cfg = 2
      esp = 1
      flush_line = yes
    }
  }
  plugins {
    vici {
      socket = unix://%s/charon.vici
    }
    kernel-libipsec {
      allow_peer_ts = yes
    }
    %s
  }
}
`

// ownESP has charon carry ESP itself.
const ownESP = `kernel-netlink {
      fwmark = !0x42
    }
    socket-default {
      fwmark = 0x42
    }`

// strongSwanConfIn is the daemon's configuration with its files in a folder.
func strongSwanConfIn(dir, more string) string {
	if os.Getenv(envBinary) != "" {
		return fmt.Sprintf(strongSwanConf, more, "kernel-netlink", dir, "")
	}
	return fmt.Sprintf(strongSwanConf, more, "kernel-libipsec kernel-netlink", dir, ownESP)
}

// swanConnection is what differs between connections in these tests.
type swanConnection struct {
	Local, Remote     string // outer addresses
	LocalID, RemoteID string
	IKE, ESP          string // proposals in strongSwan's words
	LocalTS, RemoteTS string
	AH                string // proposals; with ESP empty
	Secret            string
	Extra             string // further lines of the connection
	MOBIKE            bool
	Child             string // further lines of its child
	Secrets           string // further sections of the secrets
	Daemon            string // further lines of the daemon's own configuration
}

var yesNo = map[bool]string{true: "yes", false: "no"}

func (c swanConnection) render() string {
	proposals := "esp_proposals = " + c.ESP
	if c.AH != "" {
		proposals = "ah_proposals = " + c.AH
	}
	return fmt.Sprintf(`connections {
  peer {
    version = 2
    mobike = %s
    local_addrs = %s
    remote_addrs = %s
    proposals = %s
    %s
    local {
      auth = psk
      id = %s
    }
    remote {
      auth = psk
      id = %s
    }
    children {
      net {
        local_ts = %s
        remote_ts = %s
        %s
        %s
      }
    }
  }
}
secrets {
  ike-peer {
    id = %s
    secret = "%s"
  }
  %s
}
`, yesNo[c.MOBIKE], c.Local, c.Remote, c.IKE, c.Extra, c.LocalID, c.RemoteID, c.LocalTS, c.RemoteTS, proposals, c.Child, c.RemoteID, c.Secret, c.Secrets)
}

// needStrongSwan skips where Debian's packages are not installed.
func needStrongSwan(t *testing.T) {
	t.Helper()
	for _, p := range []string{charonPath, "/usr/sbin/swanctl"} {
		if _, err := os.Stat(p); err != nil {
			t.Skipf("needs strongSwan (strongswan-charon strongswan-swanctl libcharon-extra-plugins): %v", err)
		}
	}
}

// startStrongSwan runs charon in the namespace and loads the connection.
func startStrongSwan(t *testing.T, in *netlab.NS, conn swanConnection) *strongSwan {
	t.Helper()
	needStrongSwan(t)
	s := &strongSwan{t: t, dir: t.TempDir()}
	s.write("strongswan.conf", strongSwanConfIn(s.dir, conn.Daemon))
	s.write("swanctl.conf", conn.render())

	// Two charons fight over /run/charon.pid: each gets a /run of its own.
	s.cmd = in.Command(context.Background(), "unshare", "-m", "sh", "-c", "mount -t tmpfs none /run && exec "+charonPath)
	s.cmd.Cmd.Env = append(os.Environ(), "STRONGSWAN_CONF="+filepath.Join(s.dir, "strongswan.conf"))
	log, err := os.Create(filepath.Join(s.dir, "charon.log"))
	if err != nil {
		t.Fatal(err)
	}
	s.cmd.Cmd.Stdout, s.cmd.Cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	log.Close()
	t.Cleanup(s.stop)
	waitFor(t, 15*time.Second, "charon's vici socket", func() bool {
		_, err := os.Stat(filepath.Join(s.dir, "charon.vici"))
		return err == nil
	})
	s.swanctl("--load-all", "--file", filepath.Join(s.dir, "swanctl.conf"), "--noprompt")
	return s
}

func (s *strongSwan) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// swanctl runs the control program and fails the test when it does.
func (s *strongSwan) swanctl(args ...string) string {
	s.t.Helper()
	out, err := s.trySwanctl(args...)
	if err != nil {
		s.t.Fatalf("swanctl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (s *strongSwan) trySwanctl(args ...string) (string, error) {
	cmd := exec.Command("swanctl", append(args, "--uri", "unix://"+filepath.Join(s.dir, "charon.vici"))...)
	cmd.Env = append(os.Environ(), "STRONGSWAN_CONF="+filepath.Join(s.dir, "strongswan.conf"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// log returns what charon wrote so far.
func (s *strongSwan) log() string {
	b, _ := os.ReadFile(filepath.Join(s.dir, "charon.log"))
	return string(b)
}

// sas is charon's list of SAs; empty when it has none.
func (s *strongSwan) sas() string {
	return strings.TrimSpace(s.swanctl("--list-sas"))
}

func (s *strongSwan) stop() {
	if s.cmd.Process == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan struct{})
	go func() { _ = s.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		_ = s.cmd.Process.Kill()
		<-done
	}
	if s.t.Failed() {
		s.t.Logf("charon's log:\n%s", s.log())
	}
}

// waitFor polls until cond holds; the limit is generous because hosts are noisy.
func waitFor(t *testing.T, limit time.Duration, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if cond() {
			return
		}
	}
	t.Fatalf("waited %v for %s", limit, what)
}
