import json

from stoker.model.pipeline import Run, Step
from stoker.spec.environment import attempt_env, base_environment
from unit.spec.shell_cases import claimed_of


def env_of(*, step_secrets=(), base=None, extra=None, gpu_pools=(), **claimed):
    return attempt_env(
        claimed_of(**claimed),
        scratch="/scratch/1",
        base=base or {"PATH": "/bin", "TOKEN": "t", "OTHER": "o"},
        secrets=("TOKEN", "OTHER"),
        step=Step(name="main", action=Run(text=":"), secrets=step_secrets),
        values_file="/v",
        reason_file="/r",
        extra=extra,
        gpu_pools=gpu_pools,
    )


def test_what_an_attempt_sees():
    env = env_of(params={"x": "$(a)", "n": 3, "f": 0.5, "b": True, "l": ["a", 1], "none": None})
    assert env == {
        "PATH": "/bin",
        "STOKER_ATTEMPT": "00010203-0405-0607-0809-0a0b0c0d0e0f",
        "STOKER_ITEM": "/data/a/b.tar.gz",
        "STOKER_KEY": "a/b.tar.gz",
        "STOKER_STEP": "main",
        "STOKER_PIPELINE": "p",
        "STOKER_SCRATCH": "/scratch/1",
        "STOKER_CPUS": "2",
        "STOKER_MEMORY_BYTES": "1024",
        "STOKER_VALUES": "/v",
        "STOKER_REASON": "/r",
        "STOKER_POOL_GPU": "g0",
        "STOKER_POOL_RAM": "0,1",
        "STOKER_PARAM_X": "$(a)",
        "STOKER_PARAM_N": "3",
        "STOKER_PARAM_F": "0.5",
        "STOKER_PARAM_B": "true",
        "STOKER_PARAM_L": '["a", 1]',
        "STOKER_PARAM_NONE": "",
    }
    assert json.loads(env["STOKER_PARAM_L"]) == ["a", 1]


def test_secrets_go_only_to_the_steps_that_list_them():
    assert env_of(step_secrets=("TOKEN",))["TOKEN"] == "t"
    assert "OTHER" not in env_of(step_secrets=("TOKEN",))
    assert "TOKEN" not in env_of()


def test_record_without_limit_has_empty_values():
    env = env_of(path=None, memory_bytes=None)
    assert (env["STOKER_ITEM"], env["STOKER_MEMORY_BYTES"]) == ("", "")


def test_devices_of_a_gpu_pool():
    assert env_of(gpu_pools=("gpu",))["CUDA_VISIBLE_DEVICES"] == "g0"
    assert env_of(gpu_pools=("gpu",), slots={})["CUDA_VISIBLE_DEVICES"] == ""
    assert "CUDA_VISIBLE_DEVICES" not in env_of()


def test_step_s_own_variables_win_and_base_stays_as_it_was():
    base = {"PATH": "/bin", "A": "1"}
    assert env_of(base=base, extra={"A": "2", "PATH": "/x"})["A"] == "2"
    assert base == {"PATH": "/bin", "A": "1"}


def test_base_leaves_the_worker_s_own_story_out():
    worker = {"STOKER_KEY": "k", "STOKERS": "s", "HOME": "/h", "STOKER_PROJECT": "/other"}
    assert base_environment(worker, project="/lab") == {
        "STOKERS": "s",
        "HOME": "/h",
        "STOKER_PROJECT": "/lab",
    }
