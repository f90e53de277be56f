package kerberos

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"racoon2/kink"
)

// buildOracle compiles the program over MIT's libkrb5 that gives a second opinion.
func buildOracle(t *testing.T) string {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("gcc is not installed; the test compares with MIT's libkrb5")
	}
	if err := exec.Command("sh", "-c", "echo '#include <krb5.h>' | gcc -E - >/dev/null").Run(); err != nil {
		t.Skip("krb5.h is not installed (Debian: libkrb5-dev); the test compares with MIT's libkrb5")
	}
	path := filepath.Join(t.TempDir(), "oracle")
	if out, err := exec.Command(gcc, "-Wall", "-o", path, "testdata/oracle.c", "-lkrb5", "-lk5crypto").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

func values(t *testing.T, out []byte) map[string]string {
	t.Helper()
	m := map[string]string{}
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		word, value, _ := strings.Cut(s.Text(), " ")
		m[word] = value
	}
	return m
}

// Checksum, encryption both ways and prf of every type agree with libk5crypto.
func TestOracleCrypto(t *testing.T) {
	oracle := buildOracle(t)
	for _, e := range allETypes {
		for _, n := range []int{1, 15, 16, 17, 100} {
			value := randomKey(e)
			k, err := NewKey(e, value)
			if err != nil {
				t.Fatal(err)
			}
			data := make([]byte, n)
			rand.Read(data)
			sealed, err := k.Encrypt(usageKINKEncrypt, rand.Reader, data)
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(oracle, "crypto", fmt.Sprint(int32(e)), hex.EncodeToString(value), hex.EncodeToString(data), hex.EncodeToString(sealed))
			cmd.Env = append(cmd.Environ(), "KRB5_CONFIG=/dev/null")
			var errs bytes.Buffer
			cmd.Stderr = &errs
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v: %v %s", e, err, errs.String())
			}
			got := values(t, out)
			prf, _ := k.PRF(data, true)
			sum, _ := k.Checksum(usageKINKChecksum, data)
			if got["prf"] != hex.EncodeToString(prf) || got["sum"] != hex.EncodeToString(sum) {
				t.Errorf("%v, %d octets: prf %x, MIT %s; checksum %x, MIT %s", e, n, prf, got["prf"], sum, got["sum"])
			}
			if !strings.HasPrefix(got["plain"], hex.EncodeToString(data)) {
				t.Errorf("%v: MIT decrypts %s, sealed was %x", e, got["plain"], data)
			}
			plain, err := k.Decrypt(usageKINKEncrypt, unhex(t, got["cipher"]))
			if err != nil || !bytes.HasPrefix(plain, data) {
				t.Errorf("%v: MIT's ciphertext decrypts to %x, %v", e, plain, err)
			}
		}
	}
}

// MIT's client talks to this package's server, and the other way round.
func testMITLibrary(t *testing.T, m *mit) {
	oracle := buildOracle(t)
	m.run(t, "kinit", "-k", "-t", m.path("a.keytab"), mitA)
	cmd := m.command(t, oracle, "mkreq", mitB)
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	_, req, _ := strings.Cut(strings.TrimSpace(line), " ")
	now := time.Now()
	s, err := m.host(t, "b.keytab", mitB).Accept(now, unhex(t, req), source)
	if err != nil {
		t.Fatalf("%v %s", err, errs.String())
	}
	rep, err := s.APRep(now, rand.Reader)
	if err != nil || s.Peer() != mitA {
		t.Fatalf("%s, %v", s.Peer(), err)
	}
	fmt.Fprintf(in, "%x\n", rep)
	rest, _ := io.ReadAll(out)
	if err := cmd.Wait(); err != nil || !bytes.Contains(rest, []byte("ok")) {
		t.Errorf("krb5_rd_rep refuses the AP-REP: %v %s", err, errs.String())
	}

	k, err := m.host(t, "a.keytab", mitA).Fetch(context.Background(), now, rand.Reader, kink.FetchTicket{Local: mitA, Peer: mitB})
	if err != nil {
		t.Fatal(err)
	}
	octets, client, err := k.APReq(now, 0, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cmd = m.command(t, oracle, "rdreq", m.path("b.keytab"), mitB, hex.EncodeToString(octets))
	cmd.Env = append(cmd.Env, "KRB5RCACHENAME=none:")
	errs.Reset()
	cmd.Stderr = &errs
	answer, err := cmd.Output()
	if err != nil {
		t.Fatalf("krb5_rd_req refuses the AP-REQ: %v %s", err, errs.String())
	}
	got := values(t, answer)
	if got["client"] != mitA || got["options"] != "20000000" {
		t.Errorf("%v", got)
	}
	if err := client.VerifyAPRep(unhex(t, got["rep"])); err != nil {
		t.Errorf("the AP-REP of krb5_mk_rep: %v", err)
	}
}
