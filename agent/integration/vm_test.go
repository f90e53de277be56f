//go:build linux

package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestVM runs the tunnel tests in a virtual machine with a full kernel: the same
// binary, ESP done by the kernel (xfrm).
func TestVM(t *testing.T) {
	needRoot(t)
	if os.Getenv(envBinary) != "" {
		t.Skip("this is the virtual machine")
	}
	out := inVM(t, 300, "", "^TestTunnel$|^TestExitTellsThePeer$|^TestPrivileges$")
	// A run that skipped everything would also end with PASS.
	if n := strings.Count(out, "--- PASS: TestTunnel/"); n != 8 {
		t.Errorf("%d of 8 tunnels were tried in the virtual machine:\n%s", n, out)
	}
}

// inVM runs tests of this package in the virtual machine, with Debian packages
// in it, and returns what they print.
func inVM(t *testing.T, seconds int, packages, tests string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("boots a virtual machine")
	}
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		t.Skipf("needs QEMU (qemu-system-x86): %v", err)
	}
	path, err := program()
	must(t, err)
	test := filepath.Join(t.TempDir(), "integration.test")
	build := exec.Command("go", "test", "-c", "-o", test, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go test -c: %v\n%s", err, out)
	}
	args := []string{"-t", strconv.Itoa(seconds), "-f", test + ":/integration.test", "-f", path + ":/racoon2",
		"-e", envBinary + "=/racoon2", "-e", envKernel + "=xfrm"}
	if packages != "" {
		args = append(args, "-p", packages)
	}
	args = append(args, "/integration.test", "-test.v", "-test.run", tests)
	out, err := exec.Command("../../testdata/vm/run.sh", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("in the virtual machine: %v\n%s", err, out)
	}
	return string(out)
}
