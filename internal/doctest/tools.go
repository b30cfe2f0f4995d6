package doctest

import (
	"errors"
	"fmt"
	"os/exec"
)

// Tools returns nil where this machine has the programs that the commands of documents
// may use besides the project's own.
func Tools() (err error) {
	for _, tool := range []string{"bash", "curl", "grep", "sort", "uniq"} {
		if _, missing := exec.LookPath(tool); missing != nil {
			err = errors.Join(err, fmt.Errorf("a command of the documents needs %s, which this machine does not have; on Debian: apt-get install curl", tool))
		}
	}
	return err
}
