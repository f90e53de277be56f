package agent

import (
	"strings"
	"testing"

	"racoon2/config"
)

// The octets of a key file are the key, whatever they look like; hexadecimal digits are
// what the configuration says to be such (RFC 7296 §2.15). What may have been meant
// otherwise is warned about, and no finding shows the key.
func TestCompileSharedKey(t *testing.T) {
	for _, c := range []struct {
		word, file string
		key        string // "": an error
		says       string // of the finding; "": none
	}{
		{"", "secret", "secret", ""},
		{"", "0xSECRET", "0xSECRET", ""},
		{"", "0x", "0x", ""},
		{"", "0x616", "0x616", ""},
		{"", "0x6162", "0x6162", "its octets as they stand are the key"},
		{"", "0X6162\n", "0X6162\n", "its octets as they stand are the key"},
		{"", "6162", "6162", ""},
		{"", "secret\n", "secret\n", "the newline at the end of the file is part of the key"},
		{"hex ", "6162", "ab", ""},
		{"hex ", "0x6162", "ab", ""},
		{"hex ", "0X6a6B\n", "jk", ""},
		{"hex ", " 00ff\r\n", "\x00\xff", ""},
		{"hex ", "616", "", "an even number of hexadecimal digits"},
		{"hex ", "0x", "", "an even number of hexadecimal digits"},
		{"hex ", "\n", "", "an even number of hexadecimal digits"},
		{"hex ", "sesame", "", "an even number of hexadecimal digits"},
		{"hex ", "", "", "the file is empty"},
	} {
		file := []byte(c.file)
		text := strings.Replace(siteToSite, `pre_shared_key "/psk"`, "pre_shared_key "+c.word+`"/key"`, 1)
		compiled, findings := compileText(t, text, func(o *CompileOptions) {
			o.ReadSecret = func(string) ([]byte, error) { return file, nil }
		})
		var said strings.Builder
		for _, f := range findings {
			if f.Code == "key-hex" || f.Code == "key-file" || f.Code == "key-newline" {
				said.WriteString(f.Text + "\n" + f.Hint + "\n")
				if (f.Severity == config.Error) != (c.key == "") {
					t.Errorf("%s%q: %v", c.word, c.file, f)
				}
			}
		}
		switch {
		case (c.says == "") != (said.Len() == 0) || !strings.Contains(said.String(), c.says):
			t.Errorf("%s%q: findings %q, want %q", c.word, c.file, said.String(), c.says)
		case strings.Contains(said.String(), "6162") || strings.Contains(said.String(), "sesame"):
			t.Errorf("the key is shown: %s", said.String())
		case (compiled == nil) != (c.key == ""):
			t.Errorf("%s%q: compiled %v", c.word, c.file, compiled != nil)
		case compiled != nil && string(compiled.IKEv2.Remotes[0].SharedKey) != c.key:
			t.Errorf("%s%q: key %q, want %q", c.word, c.file, compiled.IKEv2.Remotes[0].SharedKey, c.key)
		}
		if string(file) != c.file {
			t.Errorf("the file's octets, which others read too, have become %q", file)
		}
	}
}

// start asks for SAs without a packet, which sa_per_pair cannot have.
func TestCompilePerPair(t *testing.T) {
	for _, c := range []struct {
		words string
		pair  bool
		warns bool
	}{{"", false, false}, {"sa_per_pair on;", true, false}, {"sa_per_pair on; start on;", true, true}, {"start on;", false, false}} {
		text := strings.Replace(siteToSite, "action auto_ipsec;", "action auto_ipsec; "+c.words, 1)
		if text == siteToSite && c.words != "" {
			t.Fatal("no policy to write it into")
		}
		compiled, findings := compileText(t, text, nil)
		if compiled == nil {
			t.Fatalf("does not compile: %v", findings)
		}
		if got := compiled.IKEv2.Remotes[0].Children[0].PerPair; got != c.pair {
			t.Errorf("%q: %v", c.words, got)
		}
		warned := false
		for _, f := range findings {
			warned = warned || f.Code == "start-per-pair"
		}
		if warned != c.warns {
			t.Errorf("%q: findings %v", c.words, findings)
		}
	}
}
