package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// sampleFiles are the original's samples in memory, under /etc/racoon2.
func sampleFiles(tb testing.TB) Files {
	tb.Helper()
	names, err := filepath.Glob("../testdata/racoon2/*.conf")
	if err != nil || len(names) < 10 {
		tb.Fatalf("%d samples: %v", len(names), err)
	}
	files := Files{}
	for _, name := range append(names, "testdata/tunnel_kink_corrected.conf") {
		data, err := os.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		files["/etc/racoon2/"+filepath.Base(name)] = strings.ReplaceAll(string(data), "@prefix@", "")
	}
	return files
}

// withSample is racoon2.conf with one more file included.
func withSample(files Files, name string) Files {
	out := Files{}
	for n, text := range files {
		out[n] = text
	}
	if name == "transport_ike_natt.conf" || name == "tunnel_ike_natt.conf" { // they complete another
		out["/etc/racoon2/racoon2.conf"] += "include \"/etc/racoon2/" + strings.Replace(name, "_natt", "", 1) + "\";\n"
	}
	if name != "racoon2.conf" {
		out["/etc/racoon2/racoon2.conf"] += "include \"/etc/racoon2/" + name + "\";\n"
	}
	return out
}

// TestSamplesInEffect holds what each sample comes to, and what is found in it;
// read again, the effective form means the same.
func TestSamplesInEffect(tt *testing.T) {
	files := sampleFiles(tt)
	for _, name := range []string{
		"racoon2.conf", "local-test.conf", "transport_ike.conf", "transport_ike_natt.conf", "transport_kink.conf",
		"tunnel_ike.conf", "tunnel_ike_natt.conf", "tunnel_kink.conf", "tunnel_kink_corrected.conf",
	} {
		tt.Run(name, func(tt *testing.T) {
			o := Options{FS: withSample(files, name), LookupEnv: noEnv}
			text, fs := Show("/etc/racoon2/racoon2.conf", o, true)
			if fs.HasErrors() != (name == "tunnel_kink.conf") {
				tt.Errorf("findings:\n%s", report(fs))
			}
			base := "testdata/effective/" + strings.TrimSuffix(name, ".conf")
			golden(tt, base+".want", text)
			golden(tt, base+".findings", report(fs))
			if fs.HasErrors() {
				return
			}
			before, _ := Load("/etc/racoon2/racoon2.conf", o)
			checkSame(tt, before, text)
		})
	}
}

// checkSame holds that an effective form means what it was made from.
func checkSame(tt *testing.T, before *Config, text string) {
	tt.Helper()
	after, fs := one(tt, text)
	for _, f := range fs {
		if f.Severity == Error {
			tt.Errorf("the effective form is in error: %s", f)
		}
	}
	if d := Diff(before, after); !d.Empty() {
		tt.Errorf("the effective form means something else: %+v\n%s", d, text)
	}
}

func TestEffectiveMeansTheSame(tt *testing.T) {
	for _, text := range []string{minimal, everything, newDraft().String()} {
		c, _ := one(tt, text)
		shown, _ := Show("racoon2.conf", Options{FS: Files{"racoon2.conf": text}, LookupEnv: noEnv}, true)
		checkSame(tt, c, shown)
	}
}

// TestShowAsWritten holds that the plain form has everything but setval and
// include, with the file and line of each value.
func TestShowAsWritten(tt *testing.T) {
	files := Files{
		"a": "setval { NET \"10.1.0.0/16\"; };\ninclude \"b\";\nsa s {\n\tsa_protocol esp;\n\tesp_enc_alg { aes_cbc,128,\"key\"; };\n};\n",
		"b": "selector \"my own\" { src \"${NET}\"; dst { 10.2.0.0/16;\n10.3.0.0/16 port $[PORT]; }; };\n",
	}
	files["b"] = strings.Replace(files["b"], "$[PORT]", `"$[PORT]"`, 1)
	text, _ := Show("a", Options{FS: files, LookupEnv: func(n string) (string, bool) { return "80", n == "PORT" }}, false)
	want := `selector "my own" { # b:1
src "10.1.0.0/16"; # b:1
dst { 10.2.0.0/16; 10.3.0.0/16 port "80"; }; # b:1
};

sa s { # a:3
sa_protocol esp; # a:4
esp_enc_alg { aes_cbc,128; }; # a:5
};
`
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		lines[i] = strings.Join(strings.Fields(l), " ")
	}
	if got := strings.Join(lines, "\n"); got != want {
		tt.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestTunnelKINK holds the two mistakes of the original's sample: both are
// found in one go.
func TestTunnelKINK(tt *testing.T) {
	o := Options{FS: withSample(sampleFiles(tt), "tunnel_kink.conf"), LookupEnv: noEnv}
	_, fs := Load("/etc/racoon2/racoon2.conf", o)
	for _, code := range []string{"missing-semicolon", "swapped-end-points"} {
		if !slices.ContainsFunc(fs, func(f Finding) bool { return f.Code == code && strings.HasSuffix(f.Pos.File, "tunnel_kink.conf") }) {
			tt.Errorf("%s is not found:\n%s", code, report(fs))
		}
	}
}
