package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"racoon2/config"
)

// maxFormatted bounds the standard input to be formatted, in octets.
const maxFormatted = 16 << 20

func (a *app) configFmtCommand() *cobra.Command {
	var write, list bool
	cmd := &cobra.Command{
		Use:   "fmt [FILE...]",
		Short: "Lay out configuration files",
		Long: "Lay out configuration files: a tab for each block, one statement a line, comments\n" +
			"kept. Without a file it is the configuration of --config; - is the standard input.\n" +
			"The result goes to the standard output; -w writes it back instead, and -l names\n" +
			"the files that would change, with exit status 1 if there are any. What is\n" +
			"included is not touched. A file with errors of syntax stays as it is; with one, or\n" +
			"one that cannot be read, the exit status is 2, when all others are done.",
		Example: "  racoon2 config fmt -w /etc/racoon2/racoon2.conf\n  racoon2 config fmt -l /etc/racoon2/conf.d/*.conf",
		RunE: func(cmd *cobra.Command, files []string) error {
			if write && list {
				return errors.New("-w and -l exclude each other")
			}
			if len(files) == 0 {
				files = []string{a.config}
			}
			f := &formatting{app: a, in: cmd.InOrStdin(), write: write, list: list}
			for _, name := range files {
				if err := f.file(name); err != nil {
					return err
				}
			}
			if f.status != statusDone {
				return &failure{status: f.status}
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&write, "write", "w", false, "write the files back")
	cmd.Flags().BoolVarP(&list, "list", "l", false, "name the files that would change")
	return cmd
}

// formatting is one run of config fmt.
type formatting struct {
	app         *app
	in          io.Reader
	write, list bool
	status      int
}

// file formats one file. Errors of syntax are printed and go into the status.
func (f *formatting) file(name string) error {
	data, err := f.read(name)
	if err != nil {
		f.status = statusUsage
		_, err = fmt.Fprintf(f.app.err, "racoon2: %s cannot be read: %v\n", clean(name), err)
		return failed(err)
	}
	text, findings := config.Format(name, data)
	if findings.HasErrors() {
		f.status = statusUsage
		return failed(findings.WriteText(f.app.err))
	}
	same := bytes.Equal(text, data)
	switch {
	case f.list && !same:
		f.status = max(f.status, statusFailed)
		return failed(f.app.print(clean(name) + "\n"))
	case f.list, f.write && same:
		return nil
	case f.write && name != "-":
		return failed(replace(name, text))
	}
	return failed(f.app.print(string(text)))
}

func (f *formatting) read(name string) ([]byte, error) {
	if name != "-" {
		return config.ReadFile(name)
	}
	data, err := io.ReadAll(io.LimitReader(f.in, maxFormatted+1))
	if err == nil && len(data) > maxFormatted {
		err = fmt.Errorf("it is larger than %d MB", maxFormatted>>20)
	}
	return data, err
}

// replace puts a file in another's place at one blow, with its mode and owner.
// A link stays one: the file that it leads to is replaced.
func replace(name string, data []byte) error {
	name, err := filepath.EvalSymlinks(name)
	if err != nil {
		return err
	}
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", name)
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), ".racoon2-")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // without effect after the renaming
	_, err = tmp.Write(data)
	if err == nil {
		err = sameOwner(tmp, info)
	}
	if err == nil {
		err = tmp.Chmod(info.Mode().Perm())
	}
	if err == nil {
		err = tmp.Sync()
	}
	if e := tmp.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), name)
}

// sameOwner gives a file to the owner of another.
func sameOwner(f *os.File, like os.FileInfo) error {
	uid, gid, ok := config.Owner(like)
	mine, err := f.Stat()
	if err != nil || !ok {
		return err
	}
	if u, g, _ := config.Owner(mine); u == uid && g == gid {
		return nil
	}
	return f.Chown(uid, gid)
}
