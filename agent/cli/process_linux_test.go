package cli

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The environment variables that turn this test's binary into the program.
const (
	envMain  = "RACOON2_TEST_MAIN"
	envNoTUN = "RACOON2_TEST_NO_TUN" // hide /dev/net/tun; needs a mount namespace
)

// nobody is a user without privilege.
const nobody = 65534

func TestMain(m *testing.M) {
	if os.Getenv(envMain) == "" {
		os.Exit(m.Run())
	}
	if os.Getenv(envNoTUN) != "" {
		if err := hideTUN(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(99)
		}
	}
	os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr))
}

func hideTUN() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return err
	}
	return syscall.Mount("tmpfs", "/dev/net", "tmpfs", 0, "")
}

// output collects what a process prints, for reading while it runs.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// program prepares the program as a process in a network namespace of its own.
func program(t *testing.T, args ...string) (*exec.Cmd, *output) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: it makes a network namespace")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), envMain+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	out := &output{}
	cmd.Stdout, cmd.Stderr = out, out
	return cmd, out
}

// everywhere is a configuration that listens on all addresses.
func everywhere(t *testing.T, dir string) string {
	t.Helper()
	write(t, dir, "psk", "secret")
	return write(t, dir, "racoon2.conf", fmt.Sprintf(`interface { ike { MY_IP port 500; MY_IP port 4500; }; spmd unix "%s/run/spmif"; };
remote tokyo { ikev2 { my_id fqdn "a.example"; peers_id fqdn "b.example"; peers_ipaddr 192.0.2.2; pre_shared_key "%[1]s/psk"; }; };
selector tokyo_out { direction outbound; src 10.1.0.0/16; dst 10.2.0.0/16; policy_index p; };
selector tokyo_in { direction inbound; src 10.2.0.0/16; dst 10.1.0.0/16; policy_index p; };
policy p { action auto_ipsec; remote_index tokyo; ipsec_mode tunnel; my_sa_ipaddr 192.0.2.1; };
`, dir))
}

// folder is a test's folder that others can pass, for processes of nobody.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "racoon2-cli-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// TestBadStart holds what the program says, and its exit status, where the host
// does not let it start.
func TestBadStart(t *testing.T) {
	for _, test := range []struct {
		name   string
		spoil  func(t *testing.T, cmd *exec.Cmd, dir string)
		kernel string
		want   string
	}{
		{"no privilege", func(t *testing.T, cmd *exec.Cmd, dir string) {
			err := filepath.Walk(dir, func(p string, _ os.FileInfo, err error) error {
				return errors.Join(err, os.Chown(p, nobody, nobody))
			})
			if err != nil {
				t.Fatal(err)
			}
			// The test's binary has to be within the other user's reach, too.
			exe := filepath.Join(dir, "racoon2")
			binary, err := os.ReadFile(cmd.Path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(exe, binary, 0o755); err != nil {
				t.Fatal(err)
			}
			cmd.Path = exe
			cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
		}, "auto", "CAP_NET_ADMIN"},
		{"no TUN", func(_ *testing.T, cmd *exec.Cmd, _ string) {
			cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWNS
			cmd.Env = append(cmd.Env, envNoTUN+"=1")
		}, "userspace", "/dev/net/tun"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := folder(t)
			conf := everywhere(t, dir)
			cmd, out := program(t, "run", "-c", conf, "--kernel", test.kernel)
			test.spoil(t, cmd, dir)
			err := cmd.Run()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != statusFailed {
				t.Errorf("ended with %v", err)
			}
			said := slices.DeleteFunc(strings.Split(out.String(), "\n"), func(line string) bool { return !strings.HasPrefix(line, "racoon2: ") })
			if len(said) != 1 || !strings.Contains(said[0], test.want) {
				t.Errorf("says %q, want one line with %q", said, test.want)
			}
			if left, _ := os.ReadDir(filepath.Join(dir, "run")); len(left) != 0 {
				t.Errorf("leaves %v", left)
			}
		})
	}
}

// TestSignals runs the program as a process and sends it each of its signals.
func TestSignals(t *testing.T) {
	dir := folder(t)
	conf := everywhere(t, dir)
	cmd, out := program(t, "run", "-c", conf, "--kernel", "userspace")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	await := func(text string) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !strings.Contains(out.String(), text); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("does not say %q:\n%s", text, out)
			}
		}
	}
	signal := func(s os.Signal) {
		t.Helper()
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	await("[INFO]: agent: ready kernel=userspace")
	signal(syscall.SIGUSR1)
	await("log level changed lowest=DEBUG")
	signal(syscall.SIGUSR2)
	await("log level changed lowest=INFO")
	signal(syscall.SIGHUP)
	await("configuration taken over remotes=1 selectors=2")
	write(t, dir, "racoon2.conf", "nonsense")
	signal(syscall.SIGHUP)
	await("the configuration stays as it was")
	if conn, err := net.Dial("unix", filepath.Join(dir, "run", "spmif")); err != nil {
		t.Error(err)
	} else {
		conn.Close()
	}
	signal(syscall.SIGTERM)
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("ended with %v:\n%s", err, out)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("does not end:\n%s", out)
	}
	if left, _ := os.ReadDir(filepath.Join(dir, "run")); len(left) != 0 {
		t.Errorf("leaves %v", left)
	}
}
