"""What has to be so before anything is asked of an account, and what to type where it is not.

Pure but for `ask`, which the caller brings: no network, no files, no packages beyond Python's own, so that a refusal
needs nothing installed. Not for: what may be made (`costs`) or whether the caller agrees to it (`run`).
"""

import re

VARIABLE = "REDRILL_ACCEPTANCE"
ELSEWHERE = ("AWS_ENDPOINT_URL", "REDRILL_ENDPOINT_URL")
ID = re.compile(r"[a-z0-9]{6,12}")


class Refused(Exception):
    """Nothing was changed; the text says why, and what to type."""


def named(options, environment):
    """Account, region and the owner's word are there; where not, what to type."""
    if not re.fullmatch(r"\d{12}", options.account or ""):
        raise Refused("--account is missing, or is not the 12 digits of an account's id.\n"
                      "Type: tests/aws/run --account ID --region REGION; the id is what this prints: "
                      "aws sts get-caller-identity --query Account --output text")
    if not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", options.region or ""):
        raise Refused("--region is missing, or is not the name of a region.\n"
                      f"Type: tests/aws/run --account {options.account} --region us-east-1, or another region's name")
    if options.clean is not None and not ID.fullmatch(options.clean):
        raise Refused(f"`{options.clean}` is not the id of a run, which has 6 to 12 small letters and digits.\n"
                      "Type the id that the run printed when it began; its tag is redrill-acceptance: "
                      "aws resourcegroupstaggingapi get-tag-values --key redrill-acceptance "
                      f"--region {options.region}")
    if options.emulator:
        return
    if environment.get(VARIABLE) != "yes":
        raise Refused(f"this makes things in a real account, and breaks them. {VARIABLE}=yes says that you want that.\n"
                      f"Type: {VARIABLE}=yes tests/aws/run --account {options.account} --region {options.region}")
    for name in sorted(environment):
        if name.startswith(ELSEWHERE):
            raise Refused(f"{name} is set: what answered would perhaps not be AWS.\nType: unset {name}")


def caller(options, ask):
    """The caller's account is the one that was named. `ask` gives the caller's account and ARN."""
    try:
        account, arn = ask()
    except Exception as error:  # whatever the reason: there is no caller
        raise Refused(f"AWS does not say who you are: {error}\n"
                      "Type: aws sts get-caller-identity; it has to work first (AWS_PROFILE=NAME chooses a profile)"
                      ) from None
    if account != options.account:
        raise Refused(f"your credentials ({arn}) are of account {account}, not of {options.account}.\n"
                      f"Type AWS_PROFILE=NAME in front, with a profile of {options.account}; or, if {account} is the "
                      f"account that you mean: --account {account}")
    return arn


def agreed(options, ask):
    """The owner has read what will be made, and says `yes`. `ask` shows a question and gives the answer."""
    if options.yes:
        return
    answer = ask("Make all of this, and take it away again? Only `yes` is taken for yes: ")
    if answer.strip() != "yes":
        raise Refused("nothing was made.\nType `yes` when asked, or start with --yes to leave out the question")
