package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"racoon2/config"
	"racoon2/config/convert"
)

// convertFlags are the flags of config convert.
type convertFlags struct {
	from, setkey, psk, out, place string
	json                          bool
}

func (a *app) configConvertCommand() *cobra.Command {
	var f convertFlags
	cmd := &cobra.Command{
		Use:   "convert FILE",
		Short: "Convert the configuration of racoon, strongSwan or libreswan",
		Long: "Convert racoon.conf of ipsec-tools, swanctl.conf of strongSwan, or ipsec.conf of\n" +
			"strongSwan and libreswan. Standard output gets the racoon2.conf, standard error a\n" +
			"report: each directive that is not in the result, with the reason and what to do.\n" +
			"Nothing vanishes: what is not in the report is named in a comment of the result.\n\n" +
			"With --out the configuration and a file for each pre-shared key are written to a\n" +
			"directory, for the owner alone; keys are written nowhere else. Files that are\n" +
			"there are not overwritten.\n\n" +
			"Remotes of racoon.conf become IKEv2, so the peers have to change, too. In\n" +
			"ipsec.conf, left is taken for this host. The exit status is 0 when everything has\n" +
			"been converted, 1 when something is left out, and 2 when a file cannot be read.",
		Example: "  racoon2 config convert /etc/racoon/racoon.conf --setkey /etc/setkey.conf \\\n" +
			"      --psk /etc/racoon/psk.txt --out /etc/racoon2\n" +
			"  racoon2 config convert --from swanctl /etc/swanctl/swanctl.conf\n" +
			"  racoon2 config convert --from ipsec /etc/ipsec.conf --psk /etc/ipsec.secrets \\\n      --json",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.convert(args[0], f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.from, "from", "racoon", "language of the file: racoon, swanctl or ipsec")
	flags.StringVar(&f.setkey, "setkey", "", "`FILE` for setkey(8) with the policies of a racoon.conf")
	flags.StringVar(&f.psk, "psk", "", "`FILE` with the keys: psk.txt, or ipsec.secrets")
	flags.StringVar(&f.out, "out", "", "`DIRECTORY` to write racoon2.conf and psk/ to")
	flags.StringVar(&f.place, "place", "", "`DIRECTORY` that the files will be used from (default: that of --out, else /etc/racoon2)")
	flags.BoolVar(&f.json, "json", false, "print a JSON object with the configuration, the report and what check says")
	return cmd
}

// convert runs one conversion.
func (a *app) convert(file string, f convertFlags) error {
	o := convert.Options{From: convert.Language(f.from), Include: includeFiles}
	switch o.From {
	case convert.Racoon, convert.Swanctl, convert.IPsec:
	default:
		return errors.New("--from is racoon, swanctl or ipsec")
	}
	if f.setkey != "" && o.From != convert.Racoon {
		return errors.New("--setkey belongs to a racoon.conf")
	}
	if f.psk != "" && o.From == convert.Swanctl {
		return errors.New("--psk: the keys of swanctl.conf stand in its secrets section")
	}
	place, err := placeOf(f.out, f.place)
	if err != nil {
		return failed(err)
	}
	o.KeyDir = filepath.Join(place, "psk")
	if err := readInputs(&o, file, f); err != nil {
		return &failure{statusUsage, err}
	}
	r, err := convert.Convert(o)
	if err != nil {
		return &failure{statusUsage, err}
	}
	defer func() {
		for _, k := range r.Keys {
			clear(k.Secret)
		}
	}()
	if f.out != "" {
		if err := writeNew(convertedFiles(r, f.out)); err != nil {
			return failed(err)
		}
	}
	if err := a.printConverted(r, f); err != nil {
		return failed(err)
	}
	if r.LeftOut() > 0 {
		return &failure{status: statusFailed}
	}
	return nil
}

// placeOf is the directory that a configuration will be used from.
func placeOf(out, place string) (string, error) {
	if place == "" && out == "" {
		return "/etc/racoon2", nil
	}
	return filepath.Abs(cmp.Or(place, out))
}

// maxInput bounds a file to convert, in octets; convert has the same bound.
const maxInput = 8 << 20

func readInput(path string) (convert.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return convert.File{}, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxInput+1))
	return convert.File{Name: path, Text: string(data)}, err
}

func readInputs(o *convert.Options, file string, f convertFlags) error {
	var err error
	if o.Main, err = readInput(file); err != nil {
		return err
	}
	for _, more := range []struct {
		path string
		to   **convert.File
	}{{f.setkey, &o.Setkey}, {f.psk, &o.Secrets}} {
		if more.path == "" {
			continue
		}
		in, err := readInput(more.path)
		if err != nil {
			return err
		}
		*more.to = &in
	}
	return nil
}

// maxIncluded bounds the files of one include.
const maxIncluded = 1000

// includeFiles reads what an include names: a file or pattern beside the
// including file, or in the directory that racoon.conf gives.
func includeFiles(pattern, includer, dir string) ([]convert.File, error) {
	if !filepath.IsAbs(pattern) {
		pattern = filepath.Join(cmp.Or(dir, filepath.Dir(includer)), pattern)
	}
	names, err := filepath.Glob(pattern)
	switch {
	case err != nil:
		return nil, err
	case len(names) == 0 && !strings.ContainsAny(pattern, `*?[\`):
		return nil, fmt.Errorf("%s: there is no such file", pattern)
	case len(names) > maxIncluded:
		return nil, fmt.Errorf("%s matches more than %d files", pattern, maxIncluded)
	}
	var files []convert.File
	for _, name := range names {
		f, err := readInput(name)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// convertedFiles are the files of a result below a directory.
func convertedFiles(r *convert.Result, dir string) []newFile {
	files := []newFile{{filepath.Join(dir, "racoon2.conf"), []byte(r.Config)}}
	for _, k := range r.Keys {
		files = append(files, newFile{filepath.Join(dir, "psk", k.Name), k.Secret})
	}
	return files
}

// convertedJSON is the machine-readable form of a result. It has no keys.
type convertedJSON struct {
	Config   string          `json:"config"`
	KeyFiles []string        `json:"key_files"`
	Report   []noteJSON      `json:"report"`
	Findings config.Findings `json:"findings"`
}

type noteJSON struct {
	Kind      convert.Kind `json:"kind"`
	File      string       `json:"file"`
	Line      int          `json:"line"`
	Column    int          `json:"column"`
	Directive string       `json:"directive"`
	Reason    string       `json:"reason"`
	Do        string       `json:"do,omitempty"`
}

func (a *app) printConverted(r *convert.Result, f convertFlags) error {
	if f.json {
		out := convertedJSON{Config: r.Config, KeyFiles: []string{}, Report: []noteJSON{}, Findings: append(config.Findings{}, r.Findings...)}
		for _, k := range r.Keys {
			out.KeyFiles = append(out.KeyFiles, k.Name)
		}
		for _, n := range r.Notes {
			out.Report = append(out.Report, noteJSON{n.Kind, n.Pos.File, n.Pos.Line, n.Pos.Col, n.Directive, n.Reason, n.Do})
		}
		return a.printJSON(out)
	}
	if f.out == "" {
		if err := a.print(r.Config); err != nil {
			return err
		}
	}
	return a.report(r, f)
}

// report tells on standard error what a conversion did.
func (a *app) report(r *convert.Result, f convertFlags) error {
	var b strings.Builder
	for _, n := range r.Notes {
		b.WriteString(n.String() + "\n")
	}
	fmt.Fprintf(&b, "left out: %d, changed: %d\n", r.LeftOut(), len(r.Notes)-r.LeftOut())
	if f.out != "" {
		fmt.Fprintf(&b, "written: %s and %d key files in %s\n", filepath.Join(f.out, "racoon2.conf"), len(r.Keys), filepath.Join(f.out, "psk"))
	} else if len(r.Keys) > 0 {
		fmt.Fprintf(&b, "%d key files are not written: give --out\n", len(r.Keys))
	}
	if n := r.Findings.Count(config.Warning); n > 0 {
		fmt.Fprintf(&b, "racoon2 check has %d warnings about the result\n", n)
	}
	_, err := io.WriteString(a.err, b.String())
	return err
}
