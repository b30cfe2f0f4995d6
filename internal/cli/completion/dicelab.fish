# Completion of dicelab in fish. Load it with: dicelab completion fish | source
function __dicelab_complete
    set -l words (commandline -opc) (commandline -ct)
    $words[1] complete $words[2..-1] 2>/dev/null
end
complete -c dicelab -f -n '__dicelab_complete | string length -q' -a '(__dicelab_complete)'
