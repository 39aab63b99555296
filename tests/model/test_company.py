from amondawa.model.company import SHARED_S, Company


def test_two_domains_are_company_for_as_long_as_they_take_turns():
    now = [100.0]
    company = Company(lambda: now[0])
    for _ in range(3):
        company.enter("loud")
    assert not company.shared
    company.enter("quiet")
    assert company.shared
    company.enter("loud")
    now[0] += SHARED_S - 0.1
    assert company.shared
    now[0] += 0.2
    assert not company.shared
    company.enter("loud")
    assert not company.shared
    company.enter("quiet")
    assert company.shared
